"""What an event of the catalogue is once it has been read. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from pismo.analytics.v1.analytics_pb2 import Event
from servicekit.errors import FieldFault, InvalidFields

_SERVICE = re.compile(r"[a-z][a-z0-9_-]*")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class Fact(NamedTuple):
    """One event, as it is stored."""

    event_id: str
    """A UUID in lower case, as the other ids: making UUID objects would double the cost of reading."""
    name: str
    """The field's name in the catalogue."""
    occurred_at: datetime
    service: str
    person_id: str | None
    letter_id: str | None
    trace_id: str | None
    data: str
    """What the fact carries: a JSON object with every field of its message."""


def _reader(descriptor: Descriptor) -> Callable[[Any], dict[str, Any]]:
    """What turns a fact into a dictionary. MessageToDict would take ten times as long, and leave out every zero."""
    names = tuple(field.name for field in descriptor.fields)
    return lambda fact: {name: getattr(fact, name) for name in names}


_READERS: Mapping[str, Callable[[Message], dict[str, Any]]] = {
    field.name: _reader(field.message_type)
    for field in Event.DESCRIPTOR.oneofs_by_name["fact"].fields
    if field.message_type is not None
}


def read_events(events: Iterable[Event]) -> list[Fact]:
    """The facts of a batch, in its order, repeats and all. Raises InvalidFields naming every fault.

    Expects the bounds that the proto states to hold.
    """
    facts: list[Fact] = []
    faults: list[FieldFault] = []
    for number, event in enumerate(events):
        name = event.WhichOneof("fact")
        if name is None:
            faults.append(FieldFault(f"events[{number}].fact", "must be set, to a fact that this version knows"))
            continue
        if not _SERVICE.fullmatch(event.service):
            faults.append(FieldFault(f"events[{number}].service", "must be a service's name, such as gateway"))
        if event.trace_id and not _TRACE_ID.fullmatch(event.trace_id):
            faults.append(FieldFault(f"events[{number}].trace_id", "must be 32 hex digits in lower case, or empty"))
        try:
            occurred_at = event.occurred_at.ToDatetime(UTC)
        except ValueError:
            faults.append(FieldFault(f"events[{number}].occurred_at", "must be a time in the years 1 to 9999"))
            continue
        facts.append(
            Fact(
                event.event_id.lower(),
                name,
                occurred_at,
                event.service,
                event.person_id.lower() or None,
                event.letter_id.lower() or None,
                event.trace_id or None,
                _json(_READERS[name](getattr(event, name))),
            )
        )
    if faults:
        raise InvalidFields(faults)
    return facts


def _json(data: dict[str, Any]) -> str:
    text = orjson.dumps(data).decode()
    if "\\u0000" in text:
        # Postgres has no place for NUL, and an error's words may hold one.
        clean = {name: each.replace("\0", "\ufffd") if isinstance(each, str) else each for name, each in data.items()}
        text = orjson.dumps(clean).decode()
    return text
