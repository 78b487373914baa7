"""The writer without a model: slow on purpose, so that waiting, Stop and a crash half way are real without a vendor."""

from __future__ import annotations

import asyncio

from generation import writer
from generation.ports import Draft, Order, Usage
from generation.prompts import language_for


class OfflineModel:
    """Writes by rules from the two texts alone and streams the letter over `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def write(self, order: Order, draft: Draft) -> None:
        # Two texts of 50 KB take a tenth of a second: too long for the event loop.
        letter = await asyncio.to_thread(_text_for, order)
        pieces = writer.pieces(letter)
        for piece in pieces:
            await asyncio.sleep(self._seconds / len(pieces))
            draft.add(piece)
        draft.usage = Usage(0, 0)
        draft.finish = "stop"


def _text_for(order: Order) -> str:
    if order.letter is None or order.wish is None:
        return writer.write_letter(order.vacancy, order.resume, language_for(order))
    return writer.revise_letter(order.letter, order.wish, order.vacancy, order.resume)
