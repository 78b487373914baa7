"""Bring the tools and packages of Pismo into this checkout: `python3 stack/install.py`.

Needs a bare Python 3.11 or later and nothing else, neither pip nor venv: Debian's `python3` ships without both. It puts
the pinned uv into `.tools/`, then makes `.venv/` hold exactly what `uv.lock` says. Nothing is written outside the
checkout but uv's own cache, and no interpreter is ever downloaded.
"""

import hashlib
import html.parser
import io
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

UV_VERSION = "0.13.9"
ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
UV = TOOLS / f"uv-{UV_VERSION}"
DOWNLOAD_TIMEOUT_SECONDS = 120


def main() -> int:
    if not UV.exists():
        install_uv()
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment |= {"UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"), "UV_PYTHON_DOWNLOADS": "never"}
    # The real interpreter, not a version manager's shim: the shim would decide anew at each call.
    interpreter = os.path.realpath(sys.executable)
    sync = [UV, "sync", "--frozen", "--quiet", "--all-packages", "--python", interpreter, "--project", ROOT]
    return subprocess.run(list(map(str, sync)), env=environment, check=False).returncode


def install_uv() -> None:
    """Put the pinned uv into `.tools/`, by pip where there is one, else by reading the package index directly."""
    TOOLS.mkdir(exist_ok=True)
    staging = TOOLS / f"staging-{os.getpid()}"
    print(f"installing uv {UV_VERSION} into {TOOLS}", flush=True)
    try:
        if not (by_own_pip(staging) or by_pip_of_a_new_environment(staging)):
            by_index(staging)
        found = next(path for path in staging.rglob("uv") if path.is_file())
        found.chmod(0o755)
        found.replace(UV)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def by_own_pip(staging: Path) -> bool:
    return attempt(sys.executable, "-m", "pip", *pip_install(staging))


def by_pip_of_a_new_environment(staging: Path) -> bool:
    environment = staging / "environment"
    python = environment / "bin" / "python"
    return attempt(sys.executable, "-m", "venv", environment) and attempt(python, "-m", "pip", *pip_install(staging))


def pip_install(staging: Path) -> list[str | Path]:
    target = staging / "packages"
    return ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", target, f"uv=={UV_VERSION}"]


def attempt(*command: str | Path) -> bool:
    # What fails here has an alternative, so its complaints would only alarm.
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def by_index(staging: Path) -> None:
    """Without pip: find the wheel for this machine in the package index and unpack it, its hash checked."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    page_url = index.rstrip("/") + "/uv/"
    links = Links()
    links.feed(download(page_url).decode())
    for tag in wheel_tags():
        for href in links.hrefs:
            url, _, fragment = urllib.parse.urljoin(page_url, href).partition("#")
            name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
            if not re.fullmatch(rf"uv-{re.escape(UV_VERSION)}-py3-none-{tag}\.whl", name):
                continue
            wheel = download(url)
            if f"sha256={hashlib.sha256(wheel).hexdigest()}" != fragment:
                raise SystemExit(f"{name} is not what the package index says it is")
            with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
                archive.extractall(staging)
            return
    raise SystemExit(
        f"no uv {UV_VERSION} for {sys.platform} {platform.machine()} at {page_url}: put one at {UV} and try again"
    )


def wheel_tags() -> list[str]:
    """Patterns of the platform tags that this machine can run, the best first."""
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return [rf"macosx_\d+_\d+_{machine}"]
    if platform.libc_ver()[0] == "glibc":
        return [rf"manylinux\w*_{machine}(\.manylinux\w*)*", rf"(manylinux\w*\.)?musllinux\w*_{machine}"]
    return [rf"(manylinux\w*\.)*musllinux\w*_{machine}"]


class Links(html.parser.HTMLParser):
    """The addresses that a page of the package index links to."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


def download(url: str) -> bytes:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise SystemExit(f"the package index gave an address that is no web address: {url}")
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    context = ssl.create_default_context(cafile=certificates)
    with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


if __name__ == "__main__":
    raise SystemExit(main())
