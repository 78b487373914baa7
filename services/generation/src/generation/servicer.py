"""LetterService on the wire: proto to domain and back, nothing else."""

from collections.abc import AsyncIterator
from uuid import UUID

from pismo.generation.v1 import generation_pb2 as pb
from pismo.generation.v1 import generation_service_pb2 as rpc
from pismo.generation.v1.generation_service_pb2_grpc import LetterServiceServicer
from servicekit.errors import CallContext

from generation.letters import Cancelled, Completed, Failed, Failure, Letter, Look, Queued, State, Writing
from generation.operations import Letters

_STATES = {
    State.DRAFT: pb.LETTER_STATE_DRAFT,
    State.QUEUED: pb.LETTER_STATE_QUEUED,
    State.WRITING: pb.LETTER_STATE_WRITING,
    State.COMPLETED: pb.LETTER_STATE_COMPLETED,
    State.FAILED: pb.LETTER_STATE_FAILED,
    State.CANCELLED: pb.LETTER_STATE_CANCELLED,
}
_FAILURES = {
    Failure.TIMED_OUT: pb.FAILURE_REASON_TIMED_OUT,
    Failure.MODELS_FAILED: pb.FAILURE_REASON_MODELS_FAILED,
    Failure.INTERNAL: pb.FAILURE_REASON_INTERNAL,
}
_RATINGS = {None: pb.RATING_UNSPECIFIED, True: pb.RATING_LIKE, False: pb.RATING_DISLIKE}


class LetterServicer(LetterServiceServicer):
    """pismo.generation.v1.LetterService."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters

    async def CreateLetter(self, request: rpc.CreateLetterRequest, context: CallContext) -> rpc.CreateLetterResponse:
        letter = await self._letters.create(UUID(request.person_id), UUID(request.request_id), request.vacancy)
        return rpc.CreateLetterResponse(letter=_letter(letter))

    async def SubmitLetter(self, request: rpc.SubmitLetterRequest, context: CallContext) -> rpc.SubmitLetterResponse:
        letter = await self._letters.submit(
            UUID(request.person_id),
            UUID(request.request_id),
            UUID(request.letter_id),
            request.resume,
            request.allow_foreign_models,
        )
        return rpc.SubmitLetterResponse(letter=_letter(letter))

    async def GetLetter(self, request: rpc.GetLetterRequest, context: CallContext) -> rpc.GetLetterResponse:
        letter = await self._letters.get(UUID(request.person_id), UUID(request.letter_id))
        return rpc.GetLetterResponse(letter=_letter(letter))

    async def ListLetters(self, request: rpc.ListLettersRequest, context: CallContext) -> rpc.ListLettersResponse:
        page, token = await self._letters.list(UUID(request.person_id), request.page_size, request.page_token)
        return rpc.ListLettersResponse(letters=map(_letter, page), next_page_token=token)

    async def WatchLetter(
        self, request: rpc.WatchLetterRequest, context: CallContext
    ) -> AsyncIterator[rpc.WatchLetterResponse]:
        async for look in self._letters.watch(UUID(request.person_id), UUID(request.letter_id), request.version):
            yield rpc.WatchLetterResponse(progress=_progress(look))

    async def CancelLetter(self, request: rpc.CancelLetterRequest, context: CallContext) -> rpc.CancelLetterResponse:
        letter = await self._letters.cancel(UUID(request.person_id), UUID(request.request_id), UUID(request.letter_id))
        return rpc.CancelLetterResponse(letter=_letter(letter))

    async def ReviseLetter(self, request: rpc.ReviseLetterRequest, context: CallContext) -> rpc.ReviseLetterResponse:
        letter = await self._letters.revise(
            UUID(request.person_id),
            UUID(request.request_id),
            UUID(request.letter_id),
            request.wish,
            request.allow_foreign_models,
        )
        return rpc.ReviseLetterResponse(letter=_letter(letter))

    async def RateLetter(self, request: rpc.RateLetterRequest, context: CallContext) -> rpc.RateLetterResponse:
        letter = await self._letters.rate(
            UUID(request.person_id),
            UUID(request.request_id),
            UUID(request.letter_id),
            request.version,
            request.rating == pb.RATING_LIKE,
        )
        return rpc.RateLetterResponse(letter=_letter(letter))


def _letter(letter: Letter) -> pb.Letter:
    made = pb.Letter(
        letter_id=str(letter.letter_id),
        state=_STATES[letter.state],
        title=letter.title,
        version=letter.version,
        text=letter.text,
        model=letter.model,
        revisions_left=letter.revisions_left,
        rating=_RATINGS[letter.liked],
        text_version=letter.text_version,
    )
    made.created_at.FromDatetime(letter.created_at)
    return made


def _progress(look: Look) -> pb.Progress:
    match look:
        case Queued(position, eta, models_unavailable):
            return pb.Progress(
                queued=pb.Progress.Queued(position=position, eta_seconds=eta, models_unavailable=models_unavailable)
            )
        case Writing(text):
            return pb.Progress(writing=pb.Progress.Writing(text=text))
        case Completed(text, model, left):
            return pb.Progress(completed=pb.Progress.Completed(text=text, model=model, revisions_left=left))
        case Failed(reason):
            return pb.Progress(failed=pb.Progress.Failed(reason=_FAILURES[reason]))
        case Cancelled():
            return pb.Progress(cancelled=pb.Progress.Cancelled())
