"""What people are told when another service refuses. Every reason has a text in every language; a test proves it."""

import math
from collections.abc import Mapping
from datetime import datetime

from servicekit.errors import Refusal

from gateway.texts import Phrases, text_name

RETRY_SECONDS = 60
_KILOBYTE = 1024


def explain(say: Phrases, refusal: Refusal) -> str:
    """The text for a refusal; one without a reason is of a service that was not reached."""
    if not refusal.reason:
        return say("error-service-away")
    name = text_name("error", refusal.reason)
    if not say.has(name):
        # A newer service may know reasons that this program does not.
        return say("error-internal")
    return say(name, **_variables(say, refusal))


def _variables(say: Phrases, refusal: Refusal) -> dict[str, str | int]:
    known = refusal.metadata
    seconds = refusal.retry_after_seconds
    variables: dict[str, str | int] = {
        "field": known.get("field", ""),
        "rule": known.get("rule", ""),
        "limit": _kilobytes(known, "limit_bytes") if "limit_bytes" in known else _number(known, "limit"),
        "actual": _kilobytes(known, "actual_bytes"),
        "used": _number(known, "used"),
        "reserved": _number(known, "reserved"),
        "seconds": RETRY_SECONDS if seconds is None else max(1, math.ceil(seconds)),
        "day": "",
    }
    if "resets_at" in known:
        variables["day"] = say.day(datetime.fromisoformat(known["resets_at"]), known.get("time_zone", "UTC"))
    return variables


def _number(known: Mapping[str, str], name: str) -> int:
    return int(known.get(name, "0"))


def _kilobytes(known: Mapping[str, str], name: str) -> int:
    """Rounded up, so that what is over the limit never reads as the limit."""
    return math.ceil(_number(known, name) / _KILOBYTE)
