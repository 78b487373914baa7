"""Bounds that the protos state hold before any handler runs."""

import uuid
from typing import Any

import pytest
from pismo.analytics.v1.analytics_pb2 import Event, RateLimited, StartCommand
from pismo.analytics.v1.analytics_service_pb2 import IngestEventsRequest
from servicekit.errors import InvalidFields
from servicekit.fields import check_fields


def an_event(**fields: Any) -> Event:
    made = Event(**{"event_id": str(uuid.uuid4()), "service": "gateway", **fields})
    made.occurred_at.GetCurrentTime()
    return made


def faults(*events: Event) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        check_fields(IngestEventsRequest(events=events))
    return {fault.field: fault.description for fault in raised.value.faults}


def test_what_is_within_its_bounds_passes() -> None:
    check_fields(IngestEventsRequest(events=[an_event(), an_event(person_id=str(uuid.uuid4()).upper())]))


def test_every_fault_is_named_by_its_path_and_limit() -> None:
    long = an_event(start_command=StartCommand(payload="x" * 65), trace_id="0" * 33)
    assert faults(an_event(event_id="17"), Event(), long) == {
        "events[0].event_id": "must be a UUID such as 3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b",
        "events[1].event_id": "must be set",
        "events[1].service": "must be set",
        "events[1].occurred_at": "must be set",
        "events[2].trace_id": "must be at most 32 bytes, is 33",
        "events[2].start_command.payload": "must be at most 64 bytes, is 65",
    }


def test_a_list_is_neither_empty_nor_too_long() -> None:
    assert faults() == {"events": "must not be empty"}
    assert faults(*[Event()] * 1001) == {"events": "must have at most 1000 elements, has 1001"}


def test_length_is_counted_in_bytes() -> None:
    check_fields(RateLimited(limit="ж" * 16))
    with pytest.raises(InvalidFields, match="at most 32 bytes, is 34"):
        check_fields(RateLimited(limit="ж" * 17))


@pytest.mark.parametrize(
    "written",
    [
        "{3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b}",
        "3f2b8c1e9d4a4b6f8a570c1d2e3f4a5b",
        "3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5g",
    ],
)
def test_a_uuid_has_one_form(written: str) -> None:
    assert list(faults(an_event(letter_id=written))) == ["events[0].letter_id"]
