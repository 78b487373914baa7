"""A key for each person: their texts are sealed with it, it is wrapped by the operator's keys."""

from uuid import UUID

from servicekit.clock import Clock
from servicekit.keys import Cipher, KeyRing
from servicekit.postgres import Connection

from generation import store


class PersonKeys:
    """Makes and unwraps people's keys.

    Unwrapping costs a few microseconds and every query that brings a text brings the wrapped key with it, so none is
    kept in memory: a key that is destroyed in the database is destroyed.
    """

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self._ring = ring
        self._clock = clock

    def unwrap(self, person_id: UUID, wrapped: bytes) -> Cipher:
        """Raises CannotDecrypt if no key of the operator's fits."""
        return self._ring.unwrap(wrapped, _place(person_id))

    async def obtain(self, connection: Connection, person_id: UUID) -> Cipher:
        """The person's key, made if there is none; of several made at once, one counts for all."""
        wrapped = await store.wrapped_key(connection, person_id)
        if wrapped is None:
            made = self._ring.new_key(_place(person_id))
            if await store.add_key(connection, person_id, made.wrapped, self._clock.now()):
                return made.cipher
            wrapped = await store.wrapped_key(connection, person_id)
            assert wrapped is not None, "a key that was in the way is there"  # noqa: S101
        return self.unwrap(person_id, wrapped)


def _place(person_id: UUID) -> str:
    return f"person_keys:{person_id}"
