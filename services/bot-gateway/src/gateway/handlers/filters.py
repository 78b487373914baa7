"""Which updates a handler is for."""

from typing import Any

from aiogram import F
from aiogram.filters import BaseFilter

from gateway.conversation import Consent, Stage
from gateway.unit_of_work import UnitOfWork

WORDS = F.text & ~F.text.startswith("/")
"""A text that is no command."""


class At(BaseFilter):
    """The chat waits for one of these."""

    def __init__(self, *stages: Stage) -> None:
        self._stages = stages

    async def __call__(self, _: Any, work: UnitOfWork) -> bool:
        return work.chat.stage in self._stages


class Undecided(BaseFilter):
    """The person has not agreed to what nothing goes on without, or is in the middle of the first questions."""

    async def __call__(self, _: Any, work: UnitOfWork) -> bool:
        return not work.person.agreed(Consent.PROCESSING) or work.person.open_question() is not None


class Elsewhere(BaseFilter):
    """Not in a private chat."""

    async def __call__(self, _: Any, work: UnitOfWork) -> bool:
        return not work.private
