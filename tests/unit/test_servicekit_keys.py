"""A ciphertext opens in its place only, and old keys open what new keys no longer seal."""

import base64
import os

import pytest
from servicekit.keys import CannotDecrypt, KeyRing

PLACE = "letters.vacancy:1"


def written(key_id: str) -> str:
    return f"{key_id}:{base64.b64encode(os.urandom(32)).decode()}"


def test_a_text_opens_in_its_place_only() -> None:
    person = KeyRing.parse(written("1")).new_key("person:1").cipher
    sealed = person.seal_text("Иван, +7 916", PLACE)
    assert person.open_text(sealed, PLACE) == "Иван, +7 916"
    assert "Иван".encode() not in sealed
    for place in ("letters.vacancy:2", "letters.resume:1"):
        with pytest.raises(CannotDecrypt):
            person.open(sealed, place)


def test_nothing_that_was_changed_opens() -> None:
    ring = KeyRing.parse(written("1"))
    sealed = ring.seal(b"text", PLACE)
    for changed in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:-1], sealed[:3], b""):
        with pytest.raises(CannotDecrypt):
            ring.open(changed, PLACE)


def test_the_same_text_is_never_sealed_alike() -> None:
    ring = KeyRing.parse(written("1"))
    assert ring.seal(b"text", PLACE) != ring.seal(b"text", PLACE)


def test_rotation_rewraps_keys_and_leaves_texts_alone() -> None:
    old, new = written("old"), written("new")
    made = KeyRing.parse(old).new_key("person:1")
    text = made.cipher.seal_text("text", PLACE)
    both = KeyRing.parse(f"{new},{old}")
    assert both.unwrap(made.wrapped, "person:1").open_text(text, PLACE) == "text"
    rewrapped = both.seal(both.open(made.wrapped, "person:1"), "person:1")
    assert KeyRing.parse(new).unwrap(rewrapped, "person:1").open_text(text, PLACE) == "text"
    with pytest.raises(CannotDecrypt):
        KeyRing.parse(new).unwrap(made.wrapped, "person:1")


def test_a_wrapped_key_is_of_one_person() -> None:
    ring = KeyRing.parse(written("1"))
    with pytest.raises(CannotDecrypt):
        ring.unwrap(ring.new_key("person:1").wrapped, "person:2")


@pytest.mark.parametrize("value", ["", "1", "1:", ":" + "A" * 44, "1:c2hvcnQ=", "1:not base64!"])
def test_a_malformed_ring_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match=r"key 1 is not `id:base64 of 32 bytes`") as raised:
        KeyRing.parse(value)
    assert "c2hvcnQ=" not in str(raised.value)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="must differ"):
        KeyRing.parse(f"{written('1')},{written('1')}")
