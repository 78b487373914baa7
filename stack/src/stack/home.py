"""PISMO_HOME: the one folder where `make up` keeps what it makes at run time."""

import base64
import fcntl
import json
import os
import secrets as randomness
import shlex
import shutil
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.roles import ROLES

_MARK = ".made-by-pismo"
_KEPT = {_MARK, "logs", "run", "env", "secrets.json", "postgres", "redis", "tls", "sandbox", "clock-offset"}


class HomeFault(Exception):
    """The folder cannot be used as asked; says why and what to do."""


@dataclass(frozen=True)
class Secrets:
    """What `make up` makes once and keeps, so that data written yesterday can be read today."""

    encryption_keys: str
    """`<id>:<base64 of 32 bytes>`, newest first, separated by commas."""
    telegram_bot_token: str
    telegram_webhook_secret: str
    postgres_password: str
    redis_password: str
    role_passwords: dict[str, str]

    @classmethod
    def make(cls) -> "Secrets":
        letters = string.ascii_letters + string.digits
        bot_id = randomness.choice("123456789") + "".join(randomness.choice(string.digits) for _ in range(9))
        return cls(
            encryption_keys=f"1:{base64.b64encode(randomness.token_bytes(32)).decode()}",
            telegram_bot_token=f"{bot_id}:AA{''.join(randomness.choice(letters) for _ in range(33))}",
            telegram_webhook_secret=randomness.token_urlsafe(32),
            postgres_password=randomness.token_urlsafe(24),
            redis_password=randomness.token_urlsafe(24),
            role_passwords={role: randomness.token_urlsafe(24) for role in ROLES},
        )


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read. A reader, or a kill in the middle, never meets half of it."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    fresh.replace(path)


class Home:
    """The folder's layout; nothing else knows where a file is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Home":
        """PISMO_HOME, by default `.pismo` in the current folder."""
        return cls(Path(environ.get("PISMO_HOME") or ".pismo"))

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    def log_file(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self.folder / "run" / f"{name}.pid"

    def prepare(self) -> None:
        """Make the folder where it is missing. Raises HomeFault when it cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if {path.name for path in self.folder.iterdir()} <= _KEPT:
                (self.folder / _MARK).touch()
            for name in ("logs", "run", "sandbox"):
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeFault(
                f"{self.folder} cannot be used ({error.strerror}): set PISMO_HOME to a folder of yours"
            ) from (error)

    def secrets(self) -> Secrets:
        """The secrets of this folder, made at the first call."""
        path = self.folder / "secrets.json"
        if not path.exists():
            write_private(path, json.dumps(asdict(Secrets.make()), indent=1))
        return Secrets(**json.loads(path.read_text()))

    def write_env(self, settings: Mapping[str, str]) -> None:
        """Write `env`: one `export NAME=value` a line, for `source`."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
        write_private(self.env_file, "".join(lines))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one run at a time. Raises HomeFault, with the holder's pid, when it is taken.

        The kernel lets go of the lock when its holder dies, however it dies: no stale lock can exist.
        """
        with open(self.folder / "run" / "stack.pid", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise HomeFault(f"already running in {self.folder} (process {file.read().strip()})") from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def forget(self) -> None:
        """Delete the folder. Raises HomeFault while it is in use, and for a folder that was not made here."""
        if not self.folder.exists():
            return
        if not (self.folder / _MARK).exists():
            raise HomeFault(
                f"{self.folder} holds things that `make up` did not make: delete it yourself if you mean it"
            )
        self.prepare()
        with self.lock():
            shutil.rmtree(self.folder)
