"""One readable log of everything on the terminal."""

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO

_WAITING_LINES = 10_000
_VALUE_CHARACTERS = 60
_NAME_WIDTH = 12
_COLOURS = (36, 35, 32, 34, 33, 96, 95, 92)
_FAINT, _BOLD, _RED, _YELLOW = 2, 1, 31, 33
_LEVEL_COLOURS = {"warning": _YELLOW, "error": _RED, "critical": _RED}
_NOT_SHOWN = {"timestamp", "level", "event", "service", "instance", "trace_id", "span_id", "stack", "logger"}
_STORE_TROUBLE = {
    "postgres": (b"FATAL:", b"PANIC:", b"WARNING:"),
    "redis": (b"# Fatal", b"# Can't", b"# Could not", b"# Out Of Memory"),
}
_PASSING_TROUBLE = (b"FATAL:  the database system is", b"FATAL:  terminating connection")


class Console:
    """Writes lines to a stream without ever making its caller wait: a terminal may stand still, Pismo may not."""

    def __init__(self, stream: TextIO = sys.stdout, colours: bool | None = None) -> None:
        """`colours` None: as the stream is a terminal and NO_COLOR is not set."""
        self._stream = stream
        self._colours = (stream.isatty() and not os.environ.get("NO_COLOR")) if colours is None else colours
        self._painted: dict[str, int] = {}
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def say(self, text: str) -> None:
        """Text as it is, one line or several that stay together."""
        with suppress(queue.Full):  # nobody reads the terminal; the log files have everything
            self._lines.put_nowait(text)

    def event(self, name: str, text: str, level: str = "warning") -> None:
        """What happened to a process, in words."""
        now = datetime.now().astimezone()
        self.say(self._line(now, name, level, text, {}))

    def output(self, name: str, line: bytes) -> None:
        """A line that a process wrote: a JSON log record made readable, anything else as it is."""
        if name in _STORE_TROUBLE and not _is_trouble(name, line):
            return
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            record = {"event": line.decode(errors="replace")}
        fields = {key: value for key, value in record.items() if key not in _NOT_SHOWN and value is not None}
        self.say(
            self._line(_moment(record), name, str(record.get("level", "info")), str(record.get("event", "")), fields)
        )

    def close(self) -> None:
        """Give what was said a moment to be written."""
        try:
            self._lines.put(None, timeout=0.5)
        except queue.Full:
            return
        self._writer.join(timeout=0.5)

    def _line(self, moment: datetime, name: str, level: str, event: str, fields: Mapping[str, Any]) -> str:
        level = level.lower()
        parts = [
            self._paint(f"{moment:%H:%M:%S}", _FAINT),
            self._paint(f"{name:<{_NAME_WIDTH}}", self._colour_of(name)),
        ]
        if level not in ("info", "debug"):
            parts.append(self._paint(level, _LEVEL_COLOURS.get(level, _BOLD)))
        parts.append(_printable(event))
        parts += [self._paint(f"{key}=", _FAINT) + _short(value) for key, value in fields.items()]
        return " ".join(parts)

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    def _colour_of(self, name: str) -> int:
        return self._painted.setdefault(name, _COLOURS[len(self._painted) % len(_COLOURS)])

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                continue  # the terminal was closed; the log files have it


def _is_trouble(store: str, line: bytes) -> bool:
    """Whether a line of a store is worth a place on the terminal: they talk much, and their files have it all."""
    return any(mark in line for mark in _STORE_TROUBLE[store]) and not any(mark in line for mark in _PASSING_TROUBLE)


def _moment(record: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(record["timestamp"])).astimezone()
    except (KeyError, ValueError):
        return datetime.now().astimezone()


def _short(value: object) -> str:
    text = _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _VALUE_CHARACTERS else text[: _VALUE_CHARACTERS - 1] + "…"


def _printable(text: str) -> str:
    """Without characters that could move the cursor or paint the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
