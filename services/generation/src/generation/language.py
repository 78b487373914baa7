"""Which of the two languages a text is in, and where its sentences end."""

import re
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["ru", "en"]

_LETTERS = re.compile(r"[^\W\d_]")
_CYRILLIC = re.compile(r"[А-Яа-яЁё]")

# A Russian advert for an engineer is half Latin ("Python-разработчик, Django, PostgreSQL, Москва"),
# an English one has at most a street or a name in Cyrillic.
_RUSSIAN_FROM = 0.25

# A letter is prose: its own words outnumber the names in it.
_RUSSIAN_LETTER_FROM = 0.4
_QUOTATION = re.compile(r"[«“][^»”\n]{0,400}[»”]")

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"»”)]*\s+(?=[\"«“(—–-]?\s?[A-ZА-ЯЁ0-9])|(?<=[а-яёa-z]{5}[.!?])\s+(?=[а-яёa-z])"
)
_ABBREVIATION = re.compile(
    r"(?:^|(?<!,)[\s(«\"])(?:[А-ЯA-Z]|г|гг|ул|д|им|т|е|п|к|тел|стр|руб|тыс|млн|млрд|проф|др|etc|e\.g|i\.e|Mr|Mrs|Ms|Dr"
    r"|Inc|Ltd|St|No|vs)\.$"
)


def cyrillic_share(text: str) -> float:
    """The part of the letters of `text` that are Cyrillic, 0 to 1; 0 for a text without letters."""
    letters = len(_LETTERS.findall(text))
    return len(_CYRILLIC.findall(text)) / letters if letters else 0.0


def language_of(text: str) -> Language:
    """The language to answer `text` in: Russian from a quarter of Cyrillic letters on, else English."""
    return "ru" if cyrillic_share(text) >= _RUSSIAN_FROM else "en"


def language_of_letter(text: str) -> Language:
    """The language `text` is written in, whatever it quotes: a letter may cite a résumé in the other language."""
    return "ru" if cyrillic_share(_QUOTATION.sub("", text)) >= _RUSSIAN_LETTER_FROM else "en"


_WISHED: dict[Language, re.Pattern[str]] = {
    "en": re.compile(r"\b(?:(?:in|into|to) english|на англ\w*|по[- ]английски|английск\w+ верси\w+)", re.IGNORECASE),
    "ru": re.compile(r"\b(?:(?:in|into|to) russian|на русск\w+|по[- ]русски|русск\w+ верси\w+)", re.IGNORECASE),
}


def wished_language(wish: str) -> Language | None:
    """The language that a wish for a revision asks to write in, if it names one."""
    return next((language for language, pattern in _WISHED.items() if pattern.search(wish)), None)


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph, in order, without the white space between them."""
    found: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        sentence = text[start : end.end()].strip()
        if not _ABBREVIATION.search(sentence):
            found.append(sentence)
            start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found
