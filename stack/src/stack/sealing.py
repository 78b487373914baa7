"""Files that are encrypted before they leave the process, and open only if nothing of them was changed, moved or cut.

AES-256-GCM in chunks, as age and STREAM do it: a key of the file's own, derived from the operator's with a random salt
and the file's place; each chunk's nonce is its number and whether it is the last.
"""

import base64
import binascii
import os
from collections.abc import Iterator
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_MAGIC = b"pismo sealed 1\n"
_KEY_BYTES = 32
_SALT_BYTES = 32
CHUNK_BYTES = 1 << 20
_TAG_BYTES = 16


class CannotOpen(Exception):
    """A file does not open; says which and why."""


class Keys:
    """The operator's keys, newest first: the first seals, any opens."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        self._keys = keys

    @classmethod
    def parse(cls, value: str) -> "Keys":
        """From `id:base64 of 32 bytes`, with commas between. Raises ValueError, naming no key."""
        keys: dict[str, bytes] = {}
        for number, item in enumerate(value.split(","), start=1):
            key_id, _, encoded = item.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not key_id or len(key_id.encode()) > 255 or len(key) != _KEY_BYTES:
                raise ValueError(f"key {number} is not `id:base64 of {_KEY_BYTES} bytes`")
            if key_id in keys:
                raise ValueError(f"key {number} has the id of another")
            keys[key_id] = key
        return cls(keys)

    def seal(self, source: IO[bytes], place: str) -> Iterator[bytes]:
        """All of `source`, as the pieces of a file that opens only as `place`."""
        key_id, key = next(iter(self._keys.items()))
        salt = os.urandom(_SALT_BYTES)
        cipher = _cipher(key, salt, place)
        yield _MAGIC + bytes([len(key_id.encode())]) + key_id.encode() + salt
        for nonce, chunk in _chunks(source, CHUNK_BYTES):
            yield cipher.encrypt(nonce, chunk, None)

    def unseal(self, file: IO[bytes], place: str) -> Iterator[bytes]:
        """What was sealed, in pieces, each proved before it is given. Raises CannotOpen.

        Only the end tells that nothing is missing: act on a piece only if that can be undone.
        """
        if file.read(len(_MAGIC)) != _MAGIC:
            raise CannotOpen(f"{place} is not a sealed file")
        key_id = file.read(int.from_bytes(file.read(1), "big")).decode(errors="replace")
        key = self._keys.get(key_id)
        if key is None:
            raise CannotOpen(f"{place} is sealed with a key that is not among those given")
        cipher = _cipher(key, file.read(_SALT_BYTES), place)
        for nonce, chunk in _chunks(file, CHUNK_BYTES + _TAG_BYTES):
            try:
                yield cipher.decrypt(nonce, chunk, None)
            except InvalidTag:
                raise CannotOpen(f"{place} was changed, cut short or moved, or its key has another value") from None


def _cipher(key: bytes, salt: bytes, place: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt, _MAGIC + place.encode()).derive(key))


def _chunks(source: IO[bytes], size: int) -> Iterator[tuple[bytes, bytes]]:
    """The pieces of a stream, at least one, each with its nonce."""
    number, chunk, is_last = 0, source.read(size), False
    while not is_last:
        following = source.read(size) if chunk else b""
        is_last = not following
        yield number.to_bytes(11, "big") + bytes([is_last]), chunk
        number, chunk = number + 1, following
