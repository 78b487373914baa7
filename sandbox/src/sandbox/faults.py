"""Faults on demand: the next calls of a method fail in a chosen way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from sandbox.errors import ApiError, ControlError

SPECIAL_KINDS = ("stall", "drop", "reply_lost")
_ALIASES = {"timeout": "stall", "5xx": "500"}
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_DESCRIPTIONS = {
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    413: "Request Entity Too Large",
}


@dataclass
class Fault:
    """`method` is lower case, `*` any; `kind` an HTTP status in digits or one of SPECIAL_KINDS."""

    method: str
    kind: str
    times: int
    retry_after: int = 1
    seconds: float = 60.0
    bot: int | None = None
    chat_id: int | None = None

    def refusal(self) -> ApiError:
        """The error a bot gets for a fault whose kind is a status."""
        code = int(self.kind)
        if code == 429:
            return ApiError(code, f"Too Many Requests: retry after {self.retry_after}", self.retry_after)
        default = _PHRASES.get(code, "Error")
        return ApiError(code, _DESCRIPTIONS.get(code, f"Bad Request: {default}" if code == 400 else default))


class Faults:
    """Ordered faults; the first that fits a call is spent by it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def plan(self, body: dict[str, Any], known_methods: frozenset[str]) -> Fault:
        """Adds a fault as the test interface describes it; raises ControlError."""
        method = str(body.get("method", "*")).lower()
        if method not in known_methods | {"*", "file"}:
            raise ControlError(f"method must be a Bot API method, file or *, not {method!r}", field="method")
        kind = str(body.get("kind", "")).lower()
        kind = _ALIASES.get(kind, kind)
        if kind not in SPECIAL_KINDS and not (kind.isascii() and kind.isdigit() and 400 <= int(kind) <= 599):
            raise ControlError(
                f"kind must be a status from 400 to 599 or one of {', '.join(SPECIAL_KINDS)}", field="kind"
            )
        fault = Fault(
            method,
            kind,
            times=_whole(body, "times", 1, 1, 1_000_000),
            retry_after=_whole(body, "retry_after", 1, 1, 86_400),
            seconds=_whole(body, "seconds", 60, 0, 3_600),
            bot=_whole(body, "bot", 0, 0, 2**52) or None,
            chat_id=_whole(body, "chat_id", 0, 0, 2**52) or None,
        )
        self._faults.append(fault)
        return fault

    def take(self, bot_id: int, method: str, chat_id: object) -> Fault | None:
        """The fault this call meets, if any; one of its times is spent."""
        for fault in self._faults:
            if (
                fault.method in ("*", method.lower())
                and fault.bot in (None, bot_id)
                and (fault.chat_id is None or str(fault.chat_id) == str(chat_id))
            ):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def listed(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        self._faults.clear()


def _whole(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ControlError(f"{name} must be a whole number from {low} to {high}", field=name, limit=high)
    return value
