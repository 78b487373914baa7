"""The whole system, as `make up` runs it, on ports of its own."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from person import Person

START_SECONDS = 90.0
_PORTS = (
    "GATEWAY_GRPC_PORT",
    "GENERATION_GRPC_PORT",
    "BILLING_GRPC_PORT",
    "ANALYTICS_GRPC_PORT",
    "GATEWAY_HTTP_PORT",
    "GATEWAY_OPS_PORT",
    "GENERATION_OPS_PORT",
    "BILLING_OPS_PORT",
    "ANALYTICS_OPS_PORT",
    "SANDBOX_PORT",
)
_USERS_OWN = ("TELEGRAM_", "OPENAI_", "ANTHROPIC_", "OTEL_", "DATABASE_URL", "REDIS_URL", "ENCRYPTION_KEYS")


def free_ports(count: int, replica_step: int = 100) -> list[int]:
    """Ports that nobody listens on, nor a second replica's beside them."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port + replica_step > 65_535 or port in found or port - replica_step in found:
                continue
            try:
                second.bind(("127.0.0.1", port + replica_step))
            except OSError:
                continue
            found.append(port)
    return found


class System:
    """A running `make up`."""

    def __init__(self, home: Path, ports: dict[str, int], session: aiohttp.ClientSession) -> None:
        self.home = home
        self.ports = ports
        self.session = session
        self.sandbox_url = f"http://127.0.0.1:{ports['SANDBOX_PORT']}"

    def person(self, language: str = "ru") -> Person:
        return Person(self.session, self.sandbox_url, language)

    def target(self, service: str) -> str:
        return f"localhost:{self.ports[f'{service.upper()}_GRPC_PORT']}"

    @property
    def env(self) -> dict[str, str]:
        """What `make up` wrote down of the variables it set."""
        lines = (self.home / "env").read_text().splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line)
        return {name: value.strip("'\"") for name, _, value in pairs}

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Kills a process by the name of its pid file, and says which it was."""
        pid = int((self.home / "run" / f"{name}.pid").read_text())
        os.kill(pid, number)
        return pid

    def logs(self) -> Iterator[tuple[str, str]]:
        """Every log file's name and text."""
        for path in sorted((self.home / "logs").glob("*.log")):
            yield path.name, path.read_text(errors="replace")

    async def journal(self) -> list[dict[str, object]]:
        async with self.session.get(f"{self.sandbox_url}/sandbox/journal") as response:
            answer = await response.json()
            entries: list[dict[str, object]] = answer["entries"] if isinstance(answer, dict) else answer
            return entries


@asynccontextmanager
async def running(home: Path, **environment: str) -> AsyncIterator[System]:
    """`make up` from ready to stopped. Fails if it does not say ready in time or does not stop with 0."""
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_USERS_OWN)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stack",
        "up",
        env=clean
        | {name: str(port) for name, port in ports.items()}
        | {"PISMO_HOME": str(home), "OFFLINE_WRITER_SECONDS": "1.5", "NO_COLOR": "1"}
        | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    seen: list[str] = []

    async def read_until(is_it: Callable[[str], bool]) -> None:
        assert process.stdout
        while line := (await process.stdout.readline()).decode(errors="replace"):
            seen.append(line)
            if is_it(line):
                return

    try:
        try:
            await asyncio.wait_for(read_until(lambda line: line.startswith("ready: ")), START_SECONDS)
        except TimeoutError:
            seen.append("… and never said ready\n")
        assert seen, "`make up` said nothing"
        assert seen[-1].startswith("ready: "), "".join(seen[-60:])
        drain = asyncio.create_task(read_until(lambda _: False))
        async with aiohttp.ClientSession() as session:
            yield System(home, ports, session)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0, "".join(seen[-60:])
        await drain
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
