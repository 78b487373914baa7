"""What people can do with letters. Each operation owns its transactions; a request has its effect once."""

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from uuid import UUID

from pismo.analytics.v1.analytics_pb2 import (
    Feedback,
    Iteration,
    LetterCancelled,
    LetterSubmitted,
    ResumeSent,
    VacancySent,
)
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.errors import FieldFault, InvalidFields
from servicekit.events import add_events, event
from servicekit.keys import CannotDecrypt, Cipher
from servicekit.postgres import Connection, Database

from generation import places, store, text_rules
from generation.allowance import Allowance
from generation.errors import (
    IdempotencyMismatch,
    LetterAlreadySubmitted,
    LetterNotCompleted,
    LetterNotFound,
    RevisionsExhausted,
)
from generation.letters import LETTER_TIME, REVISIONS, Letter, Look, State, next_revision
from generation.person_keys import PersonKeys
from generation.progress import Hub
from generation.queue import Queue
from generation.reading import title_of
from generation.settlement import Settler
from generation.store import Answered, LetterRow

PAGE_LETTERS = 10
_TITLE_WITHIN_CHARACTERS = 2_000
"""What a vacancy is called stands at its head; reading 50 KB for it would hold everybody else up."""


class Letters:
    """The use cases of LetterService."""

    def __init__(
        self,
        requests: Database,
        keys: PersonKeys,
        allowance: Allowance,
        queue: Queue,
        settler: Settler,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._keys = keys
        self._allowance = allowance
        self._queue = queue
        self._settler = settler
        self._hub = hub
        self._clock = clock

    async def create(self, person_id: UUID, request_id: UUID, vacancy: str) -> Letter:
        """Keeps a vacancy as a draft whose id is the request's. Raises text_rules' errors and IdempotencyMismatch."""
        vacancy = text_rules.check_vacancy(vacancy)
        letter_id, now = request_id, self._clock.now()
        async with self._requests.transaction(person_id) as connection:
            cipher = await self._keys.obtain(connection, person_id)
            made = await store.add_draft(
                connection,
                letter_id,
                person_id,
                cipher.seal_text(vacancy, places.vacancy(letter_id)),
                cipher.seal_text(title_of(vacancy[:_TITLE_WITHIN_CHARACTERS]), places.title(letter_id)),
                now,
            )
            if made:
                fact = VacancySent(characters=len(vacancy))
                await add_events(connection, [event("generation", now, fact, person_id=person_id, letter_id=letter_id)])
            row = await store.letter(connection, letter_id)
        if row is None or (not made and cipher.open_text(row.vacancy, places.vacancy(letter_id)) != vacancy):
            raise IdempotencyMismatch(request_id)
        return self._letter(row, cipher)

    async def submit(
        self, person_id: UUID, request_id: UUID, letter_id: UUID, resume: str, allow_foreign_models: bool
    ) -> Letter:
        """Adds the résumé, holds allowance and queues version 0.

        Allowance is held before anything is written: a crash in between leaves a hold that a repeat finds again, or
        that gives itself back. Raises text_rules' errors, LetterNotFound, LetterAlreadySubmitted, QueueFull,
        AllowanceExhausted, BillingUnavailable, IdempotencyMismatch.
        """
        resume = text_rules.check_resume(resume)
        async with self._requests.transaction(person_id) as connection:
            row = await self._found(connection, letter_id)
            answered = await store.answered(connection, person_id, request_id)
            if answered is not None:
                # It may have been answered between the two looks: then the letter has moved on since the first.
                row = await self._found(connection, letter_id)
        if row.state is not State.DRAFT:
            return self._submitted_before(row, request_id, answered, resume, allow_foreign_models)
        _expect(answered is None, request_id)
        self._queue.check_room()
        hold = await self._allowance.reserve(person_id, letter_id)

        cipher = self._keys.unwrap(person_id, row.wrapped_key)
        now = self._clock.now()
        submission = store.Submission(
            letter_id,
            person_id,
            request_id,
            cipher.seal_text(resume, places.resume(letter_id)),
            allow_foreign_models,
            hold.plan_id,
            hold.priority,
            hold.reservation_id,
            telemetry.traceparent(),
        )
        facts = [ResumeSent(characters=len(resume)), LetterSubmitted(plan_id=hold.plan_id)]
        events = [event("generation", now, fact, person_id=person_id, letter_id=letter_id) for fact in facts]
        async with self._requests.transaction(person_id) as connection:
            made = await store.submit(connection, submission, events, now, now + LETTER_TIME)
            if not made:
                answered = await store.answered(connection, person_id, request_id)
            row = await self._found(connection, letter_id)
        if not made:
            return self._submitted_before(row, request_id, answered, resume, allow_foreign_models)
        self._queue.note_added()
        return self._letter(row, cipher)

    async def get(self, person_id: UUID, letter_id: UUID) -> Letter:
        """The letter with its newest text. Raises LetterNotFound."""
        async with self._requests.transaction(person_id) as connection:
            row = await self._found(connection, letter_id)
        return self._letter(row)

    async def list(self, person_id: UUID, page_size: int, page_token: str) -> tuple[list[Letter], str]:
        """A page of submitted letters, newest first, without texts, and the token of the next page or ""."""
        size = page_size or PAGE_LETTERS
        async with self._requests.transaction(person_id) as connection:
            wrapped = await store.wrapped_key(connection, person_id)
            cipher = None if wrapped is None else self._keys.unwrap(person_id, wrapped)
            before = _open_token(page_token, person_id, cipher)
            rows = await store.letters(connection, person_id, before, size + 1)
        if cipher is None:
            return [], ""
        token = ""
        if len(rows) > size:
            rows = rows[:size]
            token = _seal_token(rows[-1], cipher)
        return [self._letter(row, cipher) for row in rows], token

    async def watch(self, person_id: UUID, letter_id: UUID, version: int) -> AsyncIterator[Look]:
        """The looks at a version until it ends. Raises LetterNotFound, also for a version that was never asked for."""
        async with self._requests.transaction(person_id) as connection:
            row = await self._found(connection, letter_id)
        if row.state is State.DRAFT or version > row.number:
            raise LetterNotFound(letter_id)
        async for look in self._hub.watch(letter_id, version, self._keys.unwrap(person_id, row.wrapped_key)):
            yield look

    async def cancel(self, person_id: UUID, request_id: UUID, letter_id: UUID) -> Letter:
        """Stops the newest version if it has not ended. Raises LetterNotFound, IdempotencyMismatch."""

        async def effect(connection: Connection, row: LetterRow) -> int:
            now = self._clock.now()
            if row.state is not State.DRAFT and await store.cancel(connection, letter_id, row.number, now):
                fact = LetterCancelled(version=row.number)
                await add_events(connection, [event("generation", now, fact, person_id=person_id, letter_id=letter_id)])
            return row.number

        letter = await self._once(person_id, request_id, letter_id, "cancel", effect)
        self._settler.due.set()
        self._hub.nudge(letter_id, letter.version)
        return letter

    async def revise(
        self, person_id: UUID, request_id: UUID, letter_id: UUID, wish: str, allow_foreign_models: bool
    ) -> Letter:
        """Queues a revision of the newest text; it costs nothing.

        Raises text_rules' errors, LetterNotFound, LetterNotCompleted, RevisionsExhausted, QueueFull,
        IdempotencyMismatch.
        """
        wish = text_rules.check_wish(wish)

        async def effect(connection: Connection, row: LetterRow) -> int:
            if row.text is None or not row.state.ended:
                raise LetterNotCompleted(letter_id, row.state)
            number = next_revision(row.number, row.state)
            if number > REVISIONS:
                raise RevisionsExhausted(REVISIONS)
            self._queue.check_room()
            now = self._clock.now()
            cipher = self._keys.unwrap(person_id, row.wrapped_key)
            revision = store.Revision(
                letter_id,
                number,
                person_id,
                cipher.seal_text(wish, places.wish(letter_id, number)),
                allow_foreign_models,
                row.priority or 0,
                telemetry.traceparent(),
            )
            await store.revise(connection, revision, now, now + LETTER_TIME)
            fact = Iteration(version=number)
            await add_events(connection, [event("generation", now, fact, person_id=person_id, letter_id=letter_id)])
            return number

        def same(row: LetterRow, number: int) -> bool:
            if row.number != number or row.wish is None:
                return False
            cipher = self._keys.unwrap(person_id, row.wrapped_key)
            before = cipher.open_text(row.wish, places.wish(letter_id, number))
            return (before, row.allow_foreign_models) == (wish, allow_foreign_models)

        letter = await self._once(person_id, request_id, letter_id, "revise", effect, same)
        self._queue.note_added()
        return letter

    async def rate(self, person_id: UUID, request_id: UUID, letter_id: UUID, version: int, liked: bool) -> Letter:
        """Keeps what the person thought of a version; the last word counts.

        Raises LetterNotFound, LetterNotCompleted, IdempotencyMismatch.
        """

        async def effect(connection: Connection, row: LetterRow) -> int:
            state = await store.version_state(connection, letter_id, version)
            if state is None:
                raise LetterNotFound(letter_id)
            if state is not State.COMPLETED:
                raise LetterNotCompleted(letter_id, state)
            now = self._clock.now()
            if await store.rate(connection, letter_id, version, person_id, liked, now):
                fact = Feedback(version=version, liked=liked)
                await add_events(connection, [event("generation", now, fact, person_id=person_id, letter_id=letter_id)])
            return version

        call = f"{'like' if liked else 'dislike'} {version}"
        return await self._once(person_id, request_id, letter_id, call, effect)

    async def _once(
        self,
        person_id: UUID,
        request_id: UUID,
        letter_id: UUID,
        call: str,
        effect: Callable[[Connection, LetterRow], Awaitable[int]],
        same: Callable[[LetterRow, int], bool] = lambda _row, _number: True,
    ) -> Letter:
        """Has `effect` once for the request: a repeat gets the letter as it stands by then.

        Requests about one letter go one after the other. `effect` gives the number of the version it was about; `same`
        says whether a repeat asks for what the first request did.
        """
        async with self._requests.transaction(person_id) as connection:
            row = await store.lock_letter(connection, letter_id)
            if row is None:
                raise LetterNotFound(letter_id)
            answered = await store.answered(connection, person_id, request_id)
            if answered is None:
                number = await effect(connection, row)
                made = Answered(call, letter_id, number)
                _expect(await store.add_answered(connection, person_id, request_id, made), request_id)
                row = await self._found(connection, letter_id)
            else:
                _expect((answered.call, answered.letter_id) == (call, letter_id), request_id)
                if call == "revise":
                    row = await self._found(connection, letter_id, answered.number)
                _expect(same(row, answered.number), request_id)
        return self._letter(row)

    async def _found(self, connection: Connection, letter_id: UUID, up_to: int = REVISIONS) -> LetterRow:
        row = await store.letter(connection, letter_id, up_to)
        if row is None:
            raise LetterNotFound(letter_id)
        return row

    def _submitted_before(
        self,
        row: LetterRow,
        request_id: UUID,
        answered: Answered | None,
        resume: str,
        allow_foreign_models: bool,
    ) -> Letter:
        """The answer to a letter's second submission: the first one's, if it is the same request."""
        if answered is None:
            raise LetterAlreadySubmitted(row.letter_id)
        cipher = self._keys.unwrap(row.person_id, row.wrapped_key)
        _expect((answered.call, answered.letter_id) == ("submit", row.letter_id), request_id)
        _expect(cipher.open_text(row.resume or b"", places.resume(row.letter_id)) == resume, request_id)
        _expect(row.number > 0 or row.allow_foreign_models == allow_foreign_models, request_id)
        return self._letter(row, cipher)

    def _letter(self, row: LetterRow, cipher: Cipher | None = None) -> Letter:
        cipher = cipher or self._keys.unwrap(row.person_id, row.wrapped_key)
        return Letter(
            letter_id=row.letter_id,
            state=row.state,
            title=cipher.open_text(row.title, places.title(row.letter_id)),
            version=row.number,
            text="" if row.text is None else cipher.open_text(row.text, places.text(row.letter_id, row.text_number)),
            text_version=row.text_number,
            model=row.model,
            liked=row.liked,
            created_at=row.created_at,
        )


def _expect(holds: bool, request_id: UUID) -> None:
    if not holds:
        raise IdempotencyMismatch(request_id)


def _seal_token(row: LetterRow, cipher: Cipher) -> str:
    """The place after `row`, which only its person can use and nobody can read."""
    sealed = cipher.seal_text(f"{row.created_at.isoformat()} {row.letter_id}", places.page(row.person_id))
    return base64.urlsafe_b64encode(sealed).decode()


def _open_token(token: str, person_id: UUID, cipher: Cipher | None) -> tuple[datetime, UUID] | None:
    if not token:
        return None
    try:
        if cipher is None:
            raise CannotDecrypt
        created_at, letter_id = cipher.open_text(base64.urlsafe_b64decode(token), places.page(person_id)).split(" ")
        return datetime.fromisoformat(created_at), UUID(letter_id)
    except (CannotDecrypt, binascii.Error, ValueError):
        raise InvalidFields([FieldFault("page_token", "is not one that ListLetters gave this person")]) from None
