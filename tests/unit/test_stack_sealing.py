"""Sealed files: they open whole, in their place, with their key; or not at all."""

import base64
import io
from pathlib import Path

import pytest
from stack.sealing import CHUNK_BYTES, CannotOpen, Keys

OLD, NEW = (f"{name}:{base64.b64encode(name.encode() * 8).decode()}" for name in ("aaaa", "bbbb"))
PLACE = "texts/20260101T000000Z/billing"


def sealed(folder: Path, content: bytes, keys: str = OLD) -> Path:
    path = folder / "sealed"
    Keys.parse(keys).seal(io.BytesIO(content), path, PLACE)
    return path


def opened(path: Path, keys: str = OLD, place: str = PLACE) -> bytes:
    return b"".join(Keys.parse(keys).unseal(path, place))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_sealed_opens_as_it_was(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert opened(sealed(tmp_path, content)) == content


def test_only_its_owner_may_read_the_file_and_nothing_in_it_is_in_the_clear(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"canary" * 1000)
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"canary" not in path.read_bytes()


def test_after_a_rotation_old_files_open_and_new_ones_have_the_new_key(tmp_path: Path) -> None:
    old = sealed(tmp_path, b"before").rename(tmp_path / "old")
    new = sealed(tmp_path, b"after", f"{NEW},{OLD}")
    assert opened(old, f"{NEW},{OLD}") == b"before"
    assert opened(new, NEW) == b"after"


def test_a_key_that_is_not_given_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="sealed with a key that is not among those given"):
        opened(sealed(tmp_path, b"text"), NEW)


def test_a_key_with_another_value_opens_nothing(tmp_path: Path) -> None:
    other = f"aaaa:{NEW.partition(':')[2]}"
    with pytest.raises(CannotOpen, match="its key has another value"):
        opened(sealed(tmp_path, b"text"), other)


def test_a_file_does_not_open_as_another_one(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="is not of texts/20260101T000000Z/gateway"):
        opened(sealed(tmp_path, b"text"), place="texts/20260101T000000Z/gateway")


def test_a_file_of_another_kind_is_no_sealed_file(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"PGDMP and so on")
    with pytest.raises(CannotOpen, match="is not a sealed file"):
        opened(path)


def test_no_byte_can_be_changed(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"a short text")
    whole = path.read_bytes()
    for number in range(len(whole)):
        changed = bytearray(whole)
        changed[number] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CannotOpen):
            opened(path)


def test_nothing_can_be_cut_off_or_added(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"a short text")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CannotOpen):
            opened(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CannotOpen):
        opened(path)


def test_chunks_can_neither_be_left_out_nor_change_places(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"".join(letter * CHUNK_BYTES for letter in (b"a", b"b", b"c")))
    whole = path.read_bytes()
    size = CHUNK_BYTES + 16
    header = len(whole) - 3 * size
    start, a, b, c = whole[:header], *(whole[header + n * size :][:size] for n in range(3))
    for parts in ((a, b), (a, c), (b, a, c), (c,)):
        path.write_bytes(start + b"".join(parts))
        with pytest.raises(CannotOpen):
            opened(path)


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
