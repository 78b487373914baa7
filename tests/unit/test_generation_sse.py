"""The event splitter: any cut of the bytes gives the same events."""

from itertools import pairwise

import pytest
from generation.providers.sse import MAX_EVENT_BYTES, EventSplitter, EventTooLarge
from hypothesis import given
from hypothesis import strategies as st


def split(*chunks: bytes) -> list[bytes]:
    splitter = EventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


def test_an_event_is_given_once_its_blank_line_has_come() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: one\n") == []
    assert splitter.feed(b"\n") == [b"one"]
    assert splitter.feed(b"\n\n") == []


def test_lines_may_end_in_crlf() -> None:
    assert split(b"data: one\r\n\r\ndata: two\r", b"\n\r", b"\n") == [b"one", b"two"]


def test_the_lines_of_one_event_are_joined() -> None:
    assert split(b"data: one\ndata:\ndata:two\n\n") == [b"one\n\ntwo"]


def test_comments_names_ids_and_unknown_fields_are_skipped() -> None:
    assert split(b": ping\n\nevent: delta\nid: 7\nretry: 10\ndatax: no\ndata: yes\n\n") == [b"yes"]


def test_only_one_space_after_the_colon_is_not_data() -> None:
    assert split(b"data:  two spaces\n\n") == [b" two spaces"]


def test_an_event_cut_off_by_the_end_of_the_stream_is_not_given() -> None:
    assert split(b"data: whole\n\ndata: half\n") == [b"whole"]


def test_an_endless_event_does_not_fill_the_memory() -> None:
    lines = [b"data: " + b"x" * (MAX_EVENT_BYTES // 16) + b"\n"] * 20
    with pytest.raises(EventTooLarge):
        split(*lines)
    with pytest.raises(EventTooLarge):
        EventSplitter().feed(b"x" * (MAX_EVENT_BYTES + 1))


@given(
    texts=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), max_size=5
    ),
    ending=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_the_network_may_cut_the_bytes_anywhere_even_inside_a_letter(
    texts: list[str], ending: bytes, cuts: list[int]
) -> None:
    body = b"".join(b"event: x" + ending + b"data: " + text.encode() + ending + ending for text in texts)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    assert [event.decode() for event in split(*chunks)] == texts
