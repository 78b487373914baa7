"""Text as Telegram takes it: HTML into entities, what it finds by itself, limits in UTF-16 units. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

from aiogram.types import MessageEntity

from sandbox.errors import ApiError, bad_request

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
_LOOK_BACK = 150

_KIND_BY_TAG = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_ATTRIBUTE = re.compile(r"""\s*([^\s=>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9.\-]+)(?=[\s>])))?""")
# What Telegram marks by itself: a character it must hold, and how it looks; earlier ones win where two overlap.
_FOUND = (
    ("url", ":", re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)»]", re.I)),
    ("email", "@", re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    (
        "url",
        ".",
        re.compile(r"(?<![\w@./])(?:[\w-]+\.)+(?:ru|рф|com|org|net|io|me|dev|app)\b(?:/[^\s<>\"]*[^\s<>\".,;:!?)»])?"),
    ),
    ("bot_command", "/", re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@\w{3,32})?(?![\w/])")),
    ("mention", "@", re.compile(r"(?<!\w)@[A-Za-z]\w{2,31}")),
    ("hashtag", "#", re.compile(r"(?<!\w)#\w*[^\W\d]\w*")),
)


def units(text: str) -> int:
    """Length in UTF-16 code units, the only length Telegram knows."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass
class _Open:
    tag: str
    kind: str
    offset: int
    argument: str | None = None


@dataclass
class Formatted:
    text: str
    entities: list[MessageEntity] = field(default_factory=list)


def compose(
    text: str | None, parse_mode: object, entities: list[MessageEntity] | None, *, limit: int = TEXT_LIMIT
) -> Formatted:
    """What a message will hold: parsed, trimmed, within `limit` units; raises ApiError as Telegram words it."""
    caption = limit == CAPTION_LIMIT
    mode = parse_mode.lower() if isinstance(parse_mode, str) else ""
    if mode not in ("", "html"):
        raise bad_request("unsupported parse_mode (the sandbox parses HTML)")
    raw = (text or "").replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")
    formatted = parse_html(raw) if mode == "html" else Formatted(raw, list(entities or []))
    formatted = _trim(formatted)
    if not formatted.text and not caption:
        raise bad_request("message text is empty")
    if units(formatted.text) > limit:
        raise bad_request("message caption is too long" if caption else "message is too long")
    return Formatted(formatted.text, _with_found(formatted))


def spoken(text: str) -> list[MessageEntity]:
    """The entities that Telegram finds in what a person typed."""
    return _with_found(Formatted(text))


def split(text: str, limit: int = TEXT_LIMIT) -> list[str]:
    """One pasted text as the messages a Telegram client makes of it: cut at a line's or a word's end near the limit."""
    parts = []
    rest = text.strip()
    while rest:
        cut = _cut(rest, limit)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return parts


def _cut(text: str, limit: int) -> int:
    if units(text) <= limit:
        return len(text)
    room, hard = limit, 0
    for character in text:
        room -= 2 if ord(character) > 0xFFFF else 1
        if room < 0:
            break
        hard += 1
    for separator in ("\n\n", "\n", ". ", " "):
        at = text.rfind(separator, hard - _LOOK_BACK, hard)
        if at > 0:
            return at + 1
    return hard


def parse_html(text: str) -> Formatted:
    """HTML of the Bot API into text and entities, with Telegram's own words for what is broken."""
    out: list[str] = []
    length = 0
    opened: list[_Open] = []
    entities: list[MessageEntity] = []
    at = 0
    while at < len(text):
        if text[at] == "&" and (reference := _REFERENCE.match(text, at)):
            piece, at = unescape(reference.group()), reference.end()
        elif text[at] != "<":
            end = min((i for i in (text.find("<", at + 1), text.find("&", at + 1)) if i > 0), default=len(text))
            piece, at = text[at:end], end
        elif text.startswith("</", at):
            at = _close(text, at, opened, entities, length, "".join(out))
            continue
        else:
            start, at = _open(text, at)
            start.offset = length
            opened.append(start)
            continue
        out.append(piece)
        length += units(piece)
    if opened:
        raise _broken(f'Can\'t find end tag corresponding to start tag "{opened[-1].tag}"')
    return Formatted("".join(out), sorted(entities, key=lambda e: (e.offset, -e.length)))


def _open(text: str, at: int) -> tuple[_Open, int]:
    name = re.compile(r"[^\s>]*").match(text, at + 1)
    tag = name.group().lower() if name else ""
    cursor = at + 1 + len(tag)
    if cursor >= len(text):
        raise _broken(f"Unclosed start tag at byte offset {_bytes(text, at)}")
    if tag not in _KIND_BY_TAG:
        raise _broken(f'Unsupported start tag "{tag}" at byte offset {_bytes(text, at)}')
    start = _Open(tag, _KIND_BY_TAG[tag], 0)
    spoiler = tag != "span"
    while True:
        while cursor < len(text) and text[cursor].isspace():
            cursor += 1
        if cursor >= len(text):
            raise _broken(f'Unclosed start tag "{tag}" at byte offset {_bytes(text, at)}')
        if text[cursor] == ">":
            break
        attribute = _ATTRIBUTE.match(text, cursor)
        if attribute is None or attribute.end() >= len(text) or text[attribute.end()] == "=":
            raise _broken(f'Unclosed start tag "{tag}" at byte offset {_bytes(text, at)}')
        cursor = attribute.end()
        value = unescape(next((group for group in attribute.groups()[1:] if group is not None), ""))
        match tag, attribute.group(1).lower():
            case "a", "href":
                start.argument = value
            case "code", "class" if value.startswith("language-"):
                start.argument = value.removeprefix("language-")
            case "tg-emoji", "emoji-id":
                start.argument = value
            case "span", "class":
                spoiler = value == "tg-spoiler"
            case "blockquote", "expandable":
                start.kind = "expandable_blockquote"
    if not spoiler:
        raise _broken(f'Tag "span" must have class "tg-spoiler" at byte offset {_bytes(text, at)}')
    return start, cursor + 1


def _close(text: str, at: int, opened: list[_Open], entities: list[MessageEntity], length: int, written: str) -> int:
    offset = _bytes(text, at)
    if not opened:
        raise _broken(f"Unexpected end tag at byte offset {offset}")
    end = text.find(">", at)
    if end < 0:
        raise _broken(f"Unclosed end tag at byte offset {offset}")
    tag = text[at + 2 : end].strip().lower()
    start = opened.pop()
    if tag and tag != start.tag:
        raise _broken(f'Unmatched end tag at byte offset {offset}, expected "</{start.tag}>", found "</{tag}>"')
    size = length - start.offset
    if size > 0:
        _add(entities, start, size, written)
    return end + 1


def _add(entities: list[MessageEntity], start: _Open, size: int, written: str) -> None:
    url = language = emoji = None
    match start.kind:
        case "text_link":
            url = start.argument or _slice(written, start.offset, size)
            if not re.match(r"(?:https?|tg|mailto|tel)[:/]|[\w-]+\.\w", url, re.I):
                return  # Telegram drops a link that leads nowhere and keeps its text
        case "pre":
            inner = entities[-1] if entities else None
            if inner and inner.type == "code" and (inner.offset, inner.length) == (start.offset, size):
                language = entities.pop().language
        case "code":
            language = start.argument
        case "custom_emoji":
            emoji = start.argument
    entities.append(
        MessageEntity(
            type=start.kind, offset=start.offset, length=size, url=url, language=language, custom_emoji_id=emoji
        )
    )


def _broken(what: str) -> ApiError:
    return bad_request(f"can't parse entities: {what}")


def _bytes(text: str, at: int) -> int:
    return len(text[:at].encode())


def _slice(text: str, offset: int, length: int) -> str:
    encoded = text.encode("utf-16-le")
    return encoded[offset * 2 : (offset + length) * 2].decode("utf-16-le", "ignore")


def _trim(formatted: Formatted) -> Formatted:
    text = formatted.text.strip()
    shift = units(formatted.text) - units(formatted.text.lstrip())
    size = units(text)
    kept = []
    for entity in formatted.entities:
        start = max(entity.offset - shift, 0)
        end = min(entity.offset + entity.length - shift, size)
        if end > start:
            language = entity.language if entity.type == "pre" else None
            kept.append(entity.model_copy(update={"offset": start, "length": end - start, "language": language}))
    return Formatted(text, kept)


def _with_found(formatted: Formatted) -> list[MessageEntity]:
    taken = [
        (entity.offset, entity.offset + entity.length)
        for entity in formatted.entities
        if entity.type in ("code", "pre", "text_link", "url", "mention", "bot_command", "hashtag", "email")
    ]
    entities = list(formatted.entities)
    for kind, sign, pattern in _FOUND:
        if sign not in formatted.text:
            continue
        for match in pattern.finditer(formatted.text):
            start = units(formatted.text[: match.start()])
            end = start + units(match.group())
            if all(end <= a or start >= b for a, b in taken):
                taken.append((start, end))
                entities.append(MessageEntity(type=kind, offset=start, length=end - start))
    return sorted(entities, key=lambda e: (e.offset, -e.length))
