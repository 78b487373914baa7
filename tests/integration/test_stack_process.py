"""One supervised process."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stack.process import Process, Program, running


def python(code: str, name: str = "program") -> Program:
    return Program(name, (sys.executable, "-c", code), os.environ)


async def eventually(holds: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        # A zombie has ended: only its parent has not looked yet.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_dies_is_started_again_at_once_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    pid_file = tmp_path / "program.pid"
    process = Process(
        python("import time; time.sleep(60)"), pid_file=pid_file, on_event=lambda name, text: said.append(text)
    )
    process.start()
    await eventually(lambda: process.pid)
    first = process.pid
    assert first
    assert pid_file.read_text() == f"{first}\n"
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: process.pid not in (None, first))
    assert time.monotonic() - killed < 1
    assert said == ["was killed by SIGKILL; starting it again now"]
    await process.stop(5)
    assert not pid_file.exists()


async def test_a_crash_loop_slows_down_but_never_beyond_the_promised_three_seconds() -> None:
    said: list[str] = []
    process = Process(python("raise SystemExit(3)"), on_event=lambda name, text: said.append(text))
    process.start()
    await eventually(lambda: len(said) >= 4)
    await process.stop(5)
    assert said[0] == "ended with exit code 3; starting it again now"
    assert [text.rsplit(" ", 2)[1] for text in said[1:4]] == ["0.25", "0.5", "1"]


async def test_who_ends_before_it_is_ready_is_given_up() -> None:
    async def never() -> bool:
        return False

    program = Program("hopeless", (sys.executable, "-c", "raise SystemExit(3)"), os.environ, is_ready=never)
    with pytest.raises(RuntimeError, match="hopeless ended 1 times before it was ready"):
        async with running(program):
            pass


async def test_a_program_that_does_not_stop_in_time_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(child_file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    process = Process(python(code), on_event=lambda name, text: said.append(text))
    process.start()
    await eventually(lambda: child_file.exists() and child_file.read_text())
    began = time.monotonic()
    await process.stop(0.3)
    assert time.monotonic() - began < 2
    assert said == ["did not stop within 0 s: killed"]
    await eventually(lambda: not lives(int(child_file.read_text())))


async def test_every_line_is_passed_on_however_long(tmp_path: Path) -> None:
    lines: list[bytes] = []
    process = Process(
        python("print('a' * 200_000); print('b', end='')"), on_output=lambda name, line: lines.append(line)
    )
    process.start()
    await eventually(lambda: len(lines) >= 2)
    await process.stop(5)
    assert lines[:2] == [b"a" * 200_000, b"b"]


async def test_a_child_does_not_outlive_a_parent_that_was_killed() -> None:
    code = (
        "import asyncio, os, sys\n"
        "from stack.process import Process, Program\n"
        "async def main():\n"
        "    process = Process(Program('child', (sys.executable, '-c', 'import time; time.sleep(60)'), os.environ))\n"
        "    process.start()\n"
        "    await process.until_ready()\n"
        "    print(process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert lives(child)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not lives(child), 5)
