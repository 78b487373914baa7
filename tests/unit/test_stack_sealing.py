"""Sealed files: they open whole, in their place, with their key; or not at all."""

import base64
import io

import pytest
from stack.sealing import CHUNK_BYTES, CannotOpen, Keys

OLD, NEW = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("aaaa", "bbbb"))
PLACE = "texts/20260101T000000Z/billing"


def sealed(content: bytes, keys: str = OLD) -> bytes:
    return b"".join(Keys.parse(keys).seal(io.BytesIO(content), PLACE))


def opened(file: bytes, keys: str = OLD, place: str = PLACE) -> bytes:
    return b"".join(Keys.parse(keys).unseal(io.BytesIO(file), place))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_sealed_opens_as_it_was(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert opened(sealed(content)) == content


def test_nothing_in_it_is_in_the_clear() -> None:
    assert b"canary" not in sealed(b"canary" * 1000)


def test_what_is_sealed_is_never_in_memory_as_a_whole() -> None:
    source = io.BytesIO(bytes(5 * CHUNK_BYTES))
    pieces = Keys.parse(OLD).seal(source, PLACE)
    for number, piece in enumerate(pieces):
        assert len(piece) <= CHUNK_BYTES + 16
        assert source.tell() <= (number + 1) * CHUNK_BYTES  # one more than was given: whether it is the last decides


def test_after_a_rotation_old_files_open_and_new_ones_have_the_new_key() -> None:
    assert opened(sealed(b"before"), f"{NEW},{OLD}") == b"before"
    assert opened(sealed(b"after", f"{NEW},{OLD}"), NEW) == b"after"


def test_a_key_that_is_not_given_is_said_to_be_missing() -> None:
    with pytest.raises(CannotOpen, match="sealed with a key that is not among those given"):
        opened(sealed(b"text"), NEW)


def test_a_key_with_another_value_opens_nothing() -> None:
    other = f"aaaa:{NEW.partition(':')[2]}"
    with pytest.raises(CannotOpen, match="its key has another value"):
        opened(sealed(b"text"), other)


def test_a_file_does_not_open_as_another_one() -> None:
    with pytest.raises(CannotOpen, match=r"texts/20260101T000000Z/gateway was changed, cut short or moved"):
        opened(sealed(b"text"), place="texts/20260101T000000Z/gateway")


@pytest.mark.parametrize("content", [b"", b"PGDMP and so on"])
def test_a_file_of_another_kind_is_no_sealed_file(content: bytes) -> None:
    with pytest.raises(CannotOpen, match="is not a sealed file"):
        opened(content)


def test_no_byte_can_be_changed() -> None:
    whole = sealed(b"a short text")
    for number in range(len(whole)):
        changed = bytearray(whole)
        changed[number] ^= 1
        with pytest.raises(CannotOpen):
            opened(bytes(changed))


def test_nothing_can_be_cut_off_or_added() -> None:
    whole = sealed(b"a short text")
    for length in range(len(whole)):
        with pytest.raises(CannotOpen):
            opened(whole[:length])
    with pytest.raises(CannotOpen):
        opened(whole + b"\0")


def test_chunks_can_neither_be_left_out_nor_change_places() -> None:
    whole = sealed(b"".join(letter * CHUNK_BYTES for letter in (b"a", b"b", b"c")))
    size = CHUNK_BYTES + 16
    header = len(whole) - 3 * size
    start, a, b, c = whole[:header], *(whole[header + n * size :][:size] for n in range(3))
    for parts in ((a, b), (a, c), (b, a, c), (c,)):
        with pytest.raises(CannotOpen):
            opened(start + b"".join(parts))


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "key 1 is not"),
        ("id:short", "key 1 is not"),
        (f"{OLD},id", "key 2 is not"),
        (f"{OLD},{OLD}", "key 2 has the id of another"),
    ],
)
def test_keys_that_cannot_be_are_refused_without_being_quoted(value: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as raised:
        Keys.parse(value)
    assert OLD.partition(":")[2] not in str(raised.value)
