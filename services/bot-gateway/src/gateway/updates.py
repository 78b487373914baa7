"""What is known about an update before anyone handles it, and how texts that Telegram split come together. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member")

PART_CHARACTERS = 3_900
"""Telegram splits what people paste at 4 096 characters, at a space or a line's end if there is one."""
QUIET_TIME = timedelta(seconds=2)
"""How long a text of at least PART_CHARACTERS waits for what may follow it."""
MOST_PARTS = 40


class NotAnUpdate(ValueError):
    """What came in is not an update of the Bot API."""


@dataclass(frozen=True)
class Receipt:
    """What the inbox needs to know of an update."""

    update_id: int
    telegram_id: int
    """Whose it is: updates of one person are handled one at a time. 0 where it is nobody's."""
    part_characters: int | None
    """The length of a plain text in a private chat, which can be one part of several; None for all else."""

    @property
    def waits_for_more(self) -> bool:
        return self.part_characters is not None and self.part_characters >= PART_CHARACTERS


def is_update(update: Any) -> bool:
    return isinstance(update, dict) and type(update.get("update_id")) is int


def read_receipt(update: Any) -> Receipt:
    """Looks at an update as it came. Raises NotAnUpdate."""
    if not is_update(update):
        raise NotAnUpdate("no update_id")
    telegram_id = sender_of(update).get("id")
    return Receipt(
        update_id=update["update_id"],
        telegram_id=telegram_id if isinstance(telegram_id, int) else 0,
        part_characters=_part_characters(update.get("message")),
    )


def sender_of(update: dict[str, Any]) -> dict[str, Any]:
    """Who did what the update tells, as Telegram describes them; nothing where it does not say."""
    return _inside(_content(update), "from")


def chat_of(update: dict[str, Any]) -> dict[str, Any]:
    """Where it was done; nothing where Telegram does not say."""
    content = _content(update)
    return _inside(content, "chat") or _inside(_inside(content, "message"), "chat")


def _content(update: dict[str, Any]) -> dict[str, Any]:
    return next((value for value in update.values() if isinstance(value, dict)), {})


def _inside(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _part_characters(message: Any) -> int | None:
    if not isinstance(message, dict) or not isinstance(text := message.get("text"), str) or text.startswith("/"):
        return None
    chat = message.get("chat")
    return len(text) if isinstance(chat, dict) and chat.get("type") == "private" else None


@dataclass(frozen=True)
class Waiting:
    """One of a person's updates that wait, as far as joining is concerned."""

    update_id: int
    part_characters: int | None
    settled: bool
    """Its quiet time is over."""


@dataclass(frozen=True)
class Joined:
    """The updates whose texts make one; `complete` is False while more of it may be on the way."""

    update_ids: tuple[int, ...]
    complete: bool


def find_parts(waiting: Sequence[Waiting]) -> Joined:
    """Which of a person's updates, oldest first, make one text with the first: each long text takes the next one in."""
    parts = [waiting[0]]
    for following in waiting[1:MOST_PARTS]:
        if not _is_long(parts[-1]) or following.part_characters is None:
            return Joined(tuple(each.update_id for each in parts), complete=True)
        parts.append(following)
    last = parts[-1]
    complete = not _is_long(last) or last.settled or len(parts) == MOST_PARTS
    return Joined(tuple(each.update_id for each in parts), complete)


def _is_long(part: Waiting) -> bool:
    return part.part_characters is not None and part.part_characters >= PART_CHARACTERS


def join_texts(updates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first update with the texts of all, one a line; entities are dropped, as their places are wrong now."""
    if len(updates) == 1:
        return updates[0]
    message = {key: value for key, value in updates[0]["message"].items() if key != "entities"}
    message["text"] = "\n".join(each["message"]["text"] for each in updates)
    return {**updates[0], "message": message}
