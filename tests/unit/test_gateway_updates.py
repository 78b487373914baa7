"""How texts that Telegram split come together."""

from typing import Any

import pytest
from gateway.updates import (
    MOST_PARTS,
    PART_CHARACTERS,
    NotAnUpdate,
    Waiting,
    find_parts,
    join_texts,
    read_receipt,
)
from hypothesis import given
from hypothesis import strategies as st

LONG, SHORT = PART_CHARACTERS, PART_CHARACTERS - 1


def waiting(*parts: int | None, settled: bool = True) -> list[Waiting]:
    return [Waiting(number, characters, settled) for number, characters in enumerate(parts, start=1)]


def test_a_short_text_is_complete_and_alone() -> None:
    joined = find_parts(waiting(SHORT, SHORT))
    assert joined.update_ids == (1,)
    assert joined.complete


def test_each_long_text_takes_the_next_one_in() -> None:
    joined = find_parts(waiting(LONG, LONG, SHORT, SHORT))
    assert joined.update_ids == (1, 2, 3)
    assert joined.complete


def test_what_is_no_plain_text_ends_a_paste() -> None:
    joined = find_parts(waiting(LONG, None, LONG))
    assert joined.update_ids == (1,)
    assert joined.complete


def test_a_long_last_part_waits_until_it_is_quiet() -> None:
    assert not find_parts(waiting(LONG, LONG, settled=False)).complete
    assert find_parts(waiting(LONG, LONG, settled=True)).complete


def test_a_flood_of_long_texts_ends_somewhere() -> None:
    joined = find_parts(waiting(*[LONG] * (MOST_PARTS + 5), settled=False))
    assert len(joined.update_ids) == MOST_PARTS
    assert joined.complete


@given(st.lists(st.sampled_from([LONG, SHORT, None]), min_size=1, max_size=60), st.booleans())
def test_parts_are_a_run_from_the_first_in_which_only_the_last_is_short(
    lengths: list[int | None], settled: bool
) -> None:
    joined = find_parts(waiting(*lengths, settled=settled))
    count = len(joined.update_ids)
    assert joined.update_ids == tuple(range(1, count + 1))
    assert all(length == LONG for length in lengths[: count - 1])
    if joined.complete and count < min(len(lengths), MOST_PARTS):
        assert lengths[count - 1] != LONG or lengths[count] is None


def test_texts_are_joined_by_lines_without_their_entities() -> None:
    first = {"update_id": 1, "message": {"text": "one", "entities": [{"type": "bold", "offset": 0, "length": 3}]}}
    joined = join_texts([first, {"update_id": 2, "message": {"text": "two"}}])
    assert joined == {"update_id": 1, "message": {"text": "one\ntwo"}}


def private(**message: Any) -> dict[str, Any]:
    return {"update_id": 7, "message": {"from": {"id": 5}, "chat": {"id": 5, "type": "private"}, **message}}


def test_a_plain_text_can_be_a_part() -> None:
    receipt = read_receipt(private(text="x" * LONG))
    assert (receipt.update_id, receipt.telegram_id, receipt.part_characters) == (7, 5, LONG)
    assert receipt.waits_for_more


@pytest.mark.parametrize(
    "update",
    [
        private(text="/start " + "x" * LONG),
        private(caption="x" * LONG),
        {"update_id": 7, "message": {"from": {"id": 5}, "chat": {"id": -9, "type": "group"}, "text": "x" * LONG}},
        {"update_id": 7, "edited_message": {"from": {"id": 5}, "chat": {"type": "private"}, "text": "x" * LONG}},
        {"update_id": 7, "callback_query": {"from": {"id": 5}, "data": "stop"}},
    ],
)
def test_nothing_else_waits_for_more(update: dict[str, Any]) -> None:
    receipt = read_receipt(update)
    assert receipt.telegram_id == 5
    assert not receipt.waits_for_more


def test_an_update_of_nobody_is_kept_under_nobody() -> None:
    assert read_receipt({"update_id": 7, "poll": {"id": "1"}}).telegram_id == 0


@pytest.mark.parametrize("body", [None, [], 5, {}, {"update_id": "7"}, {"update_id": True}])
def test_what_is_no_update_is_refused(body: Any) -> None:
    with pytest.raises(NotAnUpdate):
        read_receipt(body)
