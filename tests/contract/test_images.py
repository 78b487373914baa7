"""The Dockerfile and what it builds from say the same."""

import re
import runpy
import tomllib

from sources import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_images_and_checkouts_are_installed_by_the_same_uv() -> None:
    pinned = runpy.run_path(str(ROOT / "stack/install.py"))["UV_VERSION"]
    assert re.findall(r"^ARG UV_VERSION=(.*)$", DOCKERFILE, re.MULTILINE) == [pinned]


def test_the_lock_is_read_with_every_member_of_the_workspace() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    members = {file.parent.relative_to(ROOT) for pattern in patterns for file in ROOT.glob(f"{pattern}/pyproject.toml")}
    copied = set(re.findall(r"^COPY (\S+)/pyproject\.toml \1/$", DOCKERFILE, re.MULTILINE))
    assert copied == {str(member) for member in members}
