"""What others hold to be good practice, over all that is deployed; `.checkov.yaml` says what is left out, and why."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from deploy.chart import EVERY_VALUES_FILE, render
from sources import ROOT

CHECKOV = shlex.split(os.environ.get("CHECKOV", "checkov"))


def test_checkov_finds_nothing_but_what_is_explained(tmp_path: Path) -> None:
    for values in EVERY_VALUES_FILE:
        (tmp_path / values.name).write_text(render("--values", str(values)))
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    command = [*CHECKOV, "--config-file", str(ROOT / ".checkov.yaml"), "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
