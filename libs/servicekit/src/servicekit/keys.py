"""Encryption at rest: texts under a person's key, a person's key under the operator's.

Everything is AES-256-GCM. The associated data binds a ciphertext to its place, so that one moved to another row or
column does not open. Destroying a person's wrapped key destroys their texts; rotating the operator's keys re-wraps
keys only.
"""

import base64
import binascii
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32


class CannotDecrypt(Exception):
    """The ciphertext is not of this key or this place, or was changed."""


class Cipher:
    """One key. Ciphertexts are nonce + AES-GCM output."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plaintext: bytes, place: str) -> bytes:
        """The ciphertext, bound to `place` (for instance "letters.vacancy:<id>")."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, place.encode())

    def open(self, ciphertext: bytes, place: str) -> bytes:
        """The plaintext. Raises CannotDecrypt."""
        try:
            return self._aead.decrypt(ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):  # a wrong tag, or too short to have a nonce
            raise CannotDecrypt(f"cannot decrypt {place.partition(':')[0]}") from None

    def seal_text(self, text: str, place: str) -> bytes:
        return self.seal(text.encode(), place)

    def open_text(self, ciphertext: bytes, place: str) -> str:
        return self.open(ciphertext, place).decode()


@dataclass(frozen=True)
class NewKey:
    """A fresh person's key and the form in which it may be stored."""

    cipher: Cipher
    wrapped: bytes


class KeyRing:
    """The operator's keys, newest first: it seals with the first and opens with any.

    A sealed value begins with the length and the id of the key that sealed it.
    """

    def __init__(self, keys: list[tuple[str, bytes]]) -> None:
        if not keys:
            raise ValueError("at least one encryption key is needed")
        self._ids = [key_id for key_id, _ in keys]
        if len(set(self._ids)) != len(self._ids):
            raise ValueError("encryption key ids must differ")
        self._ciphers = {key_id: Cipher(key) for key_id, key in keys}

    @classmethod
    def parse(cls, value: str) -> "KeyRing":
        """From ENCRYPTION_KEYS: `id:base64 of 32 bytes`, newest first. Raises ValueError, naming no key."""
        keys = []
        for number, item in enumerate(value.split(","), start=1):
            key_id, _, encoded = item.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not key_id or len(key_id.encode()) > 255 or len(key) != _KEY_BYTES:
                raise ValueError(f"key {number} is not `id:base64 of {_KEY_BYTES} bytes`")
            keys.append((key_id, key))
        return cls(keys)

    def seal(self, plaintext: bytes, place: str) -> bytes:
        key_id = self._ids[0].encode()
        return bytes([len(key_id)]) + key_id + self._ciphers[self._ids[0]].seal(plaintext, place)

    def open(self, sealed: bytes, place: str) -> bytes:
        """The plaintext. Raises CannotDecrypt, also for a key that is no longer on the ring."""
        length = sealed[0] if sealed else 0
        cipher = self._ciphers.get(sealed[1 : 1 + length].decode(errors="replace"))
        if cipher is None:
            raise CannotDecrypt("sealed with a key that is not on the ring")
        return cipher.open(sealed[1 + length :], place)

    def new_key(self, place: str) -> NewKey:
        """A fresh key, wrapped for `place`."""
        key = os.urandom(_KEY_BYTES)
        return NewKey(Cipher(key), self.seal(key, place))

    def unwrap(self, wrapped: bytes, place: str) -> Cipher:
        """The key that new_key wrapped. Raises CannotDecrypt."""
        return Cipher(self.open(wrapped, place))
