"""What a wish for a revision asks, told from its words in either language."""

# ruff: noqa: E501 (a table of phrases)

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Asked(Enum):
    """The changes that the offline writer can make."""

    LONGER = auto()
    SHORTER = auto()
    FORMAL = auto()
    FRIENDLY = auto()
    MENTION = auto()
    LEAVE_OUT = auto()
    LANGUAGE = auto()


@dataclass(frozen=True, slots=True)
class Wish:
    """One change; `what` is to be mentioned or left out, in the person's words, and empty for the others."""

    asked: Asked
    what: str = ""


_MENTION = (
    r"упомян\w+|добав(?:ь|ьте|ить)|допиши\w*|укажи\w*|подчеркни\w*|отметь\w*|выдели\w*|вставь\w*|включи\w*|сделай\w* (?:акцент|упор) на"
    r"|mention|add|include|highlight|emphasi[sz]e|stress|point out"
)
_LEAVE_OUT = (
    r"убери\w*|убрать|удали\w*|исключи\w*|вычеркни\w*|не (?:упоминай|пиши|говори|указывай)\w*|remove|delete|drop|leave out|omit|take out"
    r"|(?:don't|don’t|do not) (?:mention|write|say|include)"
)
_TELL = r"напиши\w*|расскажи\w*|скажи\w*|write|say|tell(?: them)?|сделай\w*|make"
_FILLER = (
    r"(?:\s+(?:пожалуйста|please|also|ещ[её]|также|больше|more|весь|всё|все|the|any|all|абзац|пункт|предложение|фразу|слова|часть|упоминани[ея]"
    r"|paragraph|sentence|part|mention of|mentions of))*[\s,:]+"
)
# A comma or an "and" parts two wishes only where a new imperative follows.
_NEXT = rf"(?={_MENTION}|{_LEAVE_OUT}|{_TELL}|короче|длиннее|официальн|shorter|longer)"
_BETWEEN = re.compile(rf"[.;!?\n]+|,?\s+(?:и|а также|а|но|and|but)\s+{_NEXT}|,\s+{_NEXT}", re.IGNORECASE)
_STATED = re.compile(
    r"(?:я|у меня|мо[йяёи]|имею|владею|знаю|умею|готова?|i|i['’]m|i['’]ve|my)\b(?!\s+(?:хо[чт]|прошу|думаю|want|would|think|need|['’]d))",
    re.IGNORECASE,
)

# The first that fits is meant, so what names a thing stands before what names a manner.
_FORMS = (
    (Asked.LONGER, r"(?:добав\w+|add)\s+(?:больше |ещ[её] |some |more )*(?:подробност|детал|текст|информац|факт|конкретик|detail|text|facts|information)"),
    (Asked.LEAVE_OUT, rf"(?:{_LEAVE_OUT}){_FILLER}(?:про |об? |about )?(?P<what>.+)"),
    (Asked.MENTION, rf"(?:{_MENTION}){_FILLER}(?P<what>.+)"),
    (Asked.SHORTER, r"слишком (?:длинн|подробн)|too (?:long|detailed|wordy)"),
    (Asked.LONGER, r"длинн?ее|подробн|разв[её]рнут|(?:по)?больше (?:детал|подробн|текст|факт|информац|конкрет)|расширь|слишком коротк|longer|detail|expand|elaborate|too short"),
    (Asked.SHORTER, r"короч|короткое|сократи|сжат|лаконичн|урежь|меньше текст|shorter|\bshort\b|brief|concise|trim|condense"),
    (Asked.FRIENDLY, r"неформальн|менее (?:формальн|официальн)|дружелюбн|т[её]пл|\bпроще|живее|живым|человечн|мягче|friendl|warm|casual|informal|less formal|simpler|personal"),
    (Asked.FORMAL, r"официальн|формальн|строже|делов|серь[её]зн|formal|professional|official|businesslike"),
    (Asked.MENTION, rf"(?:{_TELL}){_FILLER}(?P<what>(?:про|об?|что|about|that)\s.+)"),
    (Asked.LANGUAGE, r"англ|русск|english|russian"),
)  # fmt: skip
_PATTERNS = tuple((asked, re.compile(form, re.IGNORECASE)) for asked, form in _FORMS)


def is_stated(words: str) -> bool:
    """Whether a person says something of themselves, as «у меня есть права» and "I speak German" do."""
    return _STATED.match(words) is not None


def wishes_in(text: str) -> Iterator[Wish]:
    """The wishes of `text` that are understood, in order; what a person states of themselves is to be mentioned."""
    for clause in filter(None, map(str.strip, _BETWEEN.split(text))):
        for asked, pattern in _PATTERNS:
            if said := pattern.search(clause):
                yield Wish(asked, said.groupdict().get("what", "").strip(" .,!:"))
                break
        else:
            if is_stated(clause):
                yield Wish(Asked.MENTION, clause)
