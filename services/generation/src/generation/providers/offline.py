"""The writer without a model: slow on purpose, so that waiting, Stop and a crash half way are real without a vendor."""

from __future__ import annotations

import asyncio

from generation import writer
from generation.ports import Draft, Order, Usage


class OfflineModel:
    """Writes by rules from the two texts alone and streams the letter over `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def write(self, order: Order, draft: Draft) -> None:
        if order.letter is None:
            letter = writer.write_letter(order.vacancy, order.resume)
        else:
            letter = writer.revise_letter(order.letter, order.wish or "", order.vacancy, order.resume)
        pieces = writer.pieces(letter)
        for piece in pieces:
            await asyncio.sleep(self._seconds / len(pieces))
            draft.add(piece)
        draft.usage = Usage(0, 0)
        draft.finish = "stop"
