"""One program as a child process: started, watched, started again, stopped; it never outlives its parent."""

import asyncio
import ctypes
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

_FIRST_DELAY_SECONDS = 0.25
_LONGEST_DELAY_SECONDS = 2.0
"""What dies is back within three seconds, however often it has died."""
_STABLE_SECONDS = 10.0
"""Who lived this long is not in a crash loop."""
_READY_POLL_SECONDS = 0.2


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class Program:
    """What to run, and how it is asked to stop."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    prepare: Callable[[], None] = lambda: None
    """Called before each start, in a thread."""
    is_ready: Callable[[], Awaitable[bool]] = _always
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when the parent dies."""
    directory: Path | None = None


class Process:
    """A program that is started again whenever it ends, until `stop`."""

    def __init__(
        self,
        program: Program,
        *,
        pid_file: Path | None = None,
        on_output: Callable[[str, bytes], None] = lambda _, __: None,
        on_event: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        """`on_output` gets the name and each line written, `on_event` the name and a sentence about an end."""
        self.program = program
        self.starts = 0
        self._pid_file = pid_file
        self._on_output = on_output
        self._on_event = on_event
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep_running(), name=self.program.name)

    async def until_ready(self, give_up_after_starts: int | None = None) -> None:
        """Wait until the program answers. Raises RuntimeError once it has ended this many times before it did."""
        while self._child is None or not await self.program.is_ready():
            if self._keeping is not None and self._keeping.done():
                self._keeping.result()
                raise RuntimeError(f"{self.program.name} was stopped before it was ready")
            if give_up_after_starts is not None and self.starts > give_up_after_starts:
                raise RuntimeError(f"{self.program.name} ended {give_up_after_starts} times before it was ready")
            await asyncio.sleep(_READY_POLL_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Ask the program to end; kill it, and all it started, when it has not after `grace_seconds`."""
        self._stopping.set()
        if self._keeping is None:
            return
        deadline = time.monotonic() + grace_seconds
        if self._child is not None:
            _send(self._child.pid, self.program.stop_signal)
        await asyncio.wait([self._keeping], timeout=max(0.0, deadline - time.monotonic()))
        if self._child is not None:
            self._on_event(self.program.name, f"did not stop within {grace_seconds:.0f} s: killed")
            _send_group(self._child.pid, signal.SIGKILL)
        await self._keeping

    async def _keep_running(self) -> None:
        delay = 0.0
        while not self._stopping.is_set():
            born = time.monotonic()
            try:
                ending = await self._run_once()
            except OSError as error:
                ending = f"cannot be started: {error}"
            if self._stopping.is_set():
                return
            if time.monotonic() - born >= _STABLE_SECONDS:
                delay = 0.0
            when = f"in {delay:g} s" if delay else "now"
            self._on_event(self.program.name, f"{ending}; starting it again {when}")
            await _wait(self._stopping, delay)
            delay = min(max(delay * 2, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)

    async def _run_once(self) -> str:
        """Run the program to its end; gives how it ended, in words."""
        self.starts += 1
        await asyncio.to_thread(self.program.prepare)
        if self._stopping.is_set():
            return "was stopped"
        child = await asyncio.create_subprocess_exec(
            *self.program.command,
            env=self.program.environment,
            cwd=self.program.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Out of the terminal's group: Ctrl-C is for the supervisor, which ends its children in order.
            start_new_session=True,
            preexec_fn=die_with_parent(self.program.death_signal),
        )
        self._child = child
        if self._pid_file:
            self._pid_file.write_text(f"{child.pid}\n")
        if self._stopping.is_set():
            _send(child.pid, self.program.stop_signal)
        reading = asyncio.create_task(self._read(cast(asyncio.StreamReader, child.stdout)))
        code = await child.wait()
        self._child = None
        if self._pid_file:
            self._pid_file.unlink(missing_ok=True)
        _send_group(child.pid, signal.SIGKILL)
        # What it started itself may hold the pipe open; its last words are there at once.
        await asyncio.wait([reading], timeout=1)
        reading.cancel()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    async def _read(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._on_output(self.program.name, line)
        if rest:
            self._on_output(self.program.name, rest)


@asynccontextmanager
async def running(
    program: Program,
    grace_seconds: float = 5,
    on_output: Callable[[str, bytes], None] = lambda _, __: None,
    on_event: Callable[[str, str], None] = lambda _, __: None,
) -> AsyncIterator[Process]:
    """The program, ready, for as long as the block lasts. Raises RuntimeError when it ends before it is ready."""
    process = Process(program, on_output=on_output, on_event=on_event)
    process.start()
    try:
        await process.until_ready(give_up_after_starts=1)
        yield process
    finally:
        await process.stop(grace_seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def package_folder(package: str) -> Path:
    """Where an installed package that carries a program lies. It is not imported: we only want the program."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _send(pid: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, which)


def _send_group(pid: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, which)


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """For the child between fork and exec: the kernel ends it when its parent was killed with no time to act.

    Linux only; elsewhere a supervisor that is killed with SIGKILL leaves its children behind.
    """
    parent = os.getpid()

    def arrange() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:
                os._exit(1)

    return arrange
