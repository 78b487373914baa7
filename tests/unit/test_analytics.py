"""Reading events, believing their times, and showing what they add up to."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from analytics.catalogue import Fact, read_events
from analytics.report import Table, render
from analytics.retention import IDS_KEPT, Window, month_start
from google.protobuf.timestamp_pb2 import Timestamp
from pismo.analytics.v1.analytics_pb2 import Error, Event, Feedback, LetterGenerated
from servicekit.errors import InvalidFields
from servicekit.events import event

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def faults(*events: Event) -> dict[str, str]:
    with pytest.raises(InvalidFields) as raised:
        read_events(events)
    return {fault.field: fault.description for fault in raised.value.faults}


def fact_at(occurred_at: datetime) -> Fact:
    return read_events([event("gateway", occurred_at, Feedback())])[0]


def test_a_fact_holds_what_its_event_says() -> None:
    person_id, event_id = uuid.uuid4(), uuid.uuid4()
    sent = event("generation", NOW, LetterGenerated(model="m", characters=7), person_id=person_id, event_id=event_id)
    sent.trace_id = "0af7651916cd43dd8448eb211c80319c"
    (fact,) = read_events([sent])
    assert fact[:-1] == (
        str(event_id),
        "letter_generated",
        NOW,
        "generation",
        str(person_id),
        None,
        "0af7651916cd43dd8448eb211c80319c",
    )
    assert orjson.loads(fact.data) == {"version": 0, "model": "m", "generation_ms": 0, "queued_ms": 0, "characters": 7}


def test_ids_are_the_same_whatever_their_case() -> None:
    sent = event("gateway", NOW, Feedback(), person_id=uuid.uuid4())
    shouted = Event()
    shouted.CopyFrom(sent)
    shouted.event_id, shouted.person_id = sent.event_id.upper(), sent.person_id.upper()
    assert read_events([shouted]) == read_events([sent])


def test_every_fault_of_a_batch_is_named() -> None:
    good = event("gateway", NOW, Feedback())
    nothing = Event(event_id=good.event_id, service="gateway", occurred_at=good.occurred_at)
    nowhere, untraced, timeless = Event(), Event(), Event()
    for each in (nowhere, untraced, timeless):
        each.CopyFrom(good)
    nowhere.service = "Robert'); DROP"
    untraced.trace_id = "not hex"
    timeless.occurred_at.CopyFrom(Timestamp(seconds=1 << 60))
    assert faults(good, nothing, nowhere, untraced, timeless) == {
        "events[1].fact": "must be set, to a fact that this version knows",
        "events[2].service": "must be a service's name, such as gateway",
        "events[3].trace_id": "must be 32 hex digits in lower case, or empty",
        "events[4].occurred_at": "must be a time in the years 1 to 9999",
    }


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_a_time_that_is_none_is_refused(nanos: int) -> None:
    sent = event("gateway", NOW, Feedback())
    sent.occurred_at.nanos = nanos
    assert list(faults(sent)) == ["events[0].occurred_at"]


def test_an_errors_words_may_hold_what_postgres_cannot() -> None:
    words = 'a NUL \0, an escape that spells one \\u0000 and "quotes"'
    (fact,) = read_events([event("gateway", NOW, Error(message=words))])
    assert orjson.loads(fact.data)["message"] == words.replace("\0", "\ufffd")


@pytest.mark.parametrize(
    ("moment", "months_later", "start"),
    [
        (datetime(2026, 11, 23, tzinfo=UTC), 0, datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2026, 11, 23, tzinfo=UTC), 2, datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), -13, datetime(2025, 11, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), -1, datetime(2025, 12, 1, tzinfo=UTC)),
        (datetime.fromisoformat("2026-12-01T02:00:00+03:00"), 0, datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_months_are_utc_and_cross_years(moment: datetime, months_later: int, start: datetime) -> None:
    assert month_start(moment, months_later) == start


def test_times_are_believed_from_thirteen_months_back_to_a_day_ahead() -> None:
    first, last = datetime(2025, 10, 1, tzinfo=UTC), NOW + timedelta(days=1)
    a_moment = timedelta(microseconds=1)
    window = Window.at(NOW)
    window.check([fact_at(first), fact_at(NOW), fact_at(last)])
    with pytest.raises(InvalidFields) as raised:
        window.check([fact_at(NOW), fact_at(first - a_moment), fact_at(last + a_moment)])
    assert {fault.field: fault.description for fault in raised.value.faults} == {
        "events[1].occurred_at": "must be 2025-10-01T00:00:00+00:00 or later: events are kept for 13 months",
        "events[2].occurred_at": "must be at most 1 day in the future, which is 2026-11-24T12:30:00+00:00",
    }


def test_an_id_is_remembered_for_as_long_as_its_event_can_be_taken() -> None:
    for day in range(366 * 2):
        kept_at = NOW + timedelta(days=day)
        occurred_at = Window.at(kept_at).latest
        forgotten_at = kept_at + IDS_KEPT
        assert occurred_at < Window.at(forgotten_at).earliest


def test_a_report_is_aligned_and_says_when_there_is_nothing() -> None:
    rows: list[tuple[Any, ...]] = [("offline", 7, Decimal("0.500")), (None, 12, None)]
    tables = [Table("feedback_stats", ("model", "likes", "like_rate"), rows), Table("ai_usage", ("day",), [])]
    assert render(tables) == (
        "feedback_stats\n"
        "  model    likes  like_rate\n"
        "  offline      7      0.500\n"
        "  –           12          –\n"
        "\n"
        "ai_usage\n"
        "  nothing yet"
    )
