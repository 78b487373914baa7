"""Which texts of people are let in: vacancies, résumés and wishes.

Each check returns the text as it will be kept (NFC, plain newlines, nothing invisible) or raises a `TextRefused`.
What is refused as suspicious is text *meant for a machine*; a vacancy that merely speaks of instructions or prompts is
an ordinary vacancy. This is the first of several walls: prompts fence what passes, the output guard reads the answer.

Every pattern here takes time proportional to the text: no unbounded repeat stands inside another.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from generation.attack_phrases import ENGLISH, MARKUP, QUOTED_AS_EXAMPLE, RUSSIAN, Rule

LIMIT_BYTES = 51_200
MINIMUM_CHARACTERS = {"vacancy": 30, "resume": 30, "wish": 3}


@dataclass(eq=False)
class TextRefused(ValueError):
    """A text was not let in. Holds the field's name and the limit, never the text."""

    field: str


@dataclass(eq=False)
class TextTooLarge(TextRefused):
    """More UTF-8 than the bound; both sizes in bytes."""

    limit_bytes: int
    actual_bytes: int


@dataclass(eq=False)
class TextTooShort(TextRefused):
    """Fewer meaningful characters than needed: letters and digits of different words, keyboard mash not counted."""

    minimum_characters: int


@dataclass(eq=False)
class SuspiciousContent(TextRefused):
    """Meant for a machine, or no text at all; `rule` says which."""

    rule: Rule


def check_vacancy(text: str) -> str:
    """The vacancy as it will be kept; raises `TextTooLarge`, `TextTooShort` or `SuspiciousContent`."""
    return _check("vacancy", text)


def check_resume(text: str) -> str:
    """The résumé as it will be kept; raises as `check_vacancy` does."""
    return _check("resume", text)


def check_wish(text: str) -> str:
    """The wish for a revision as it will be kept; raises as `check_vacancy` does."""
    return _check("wish", text)


def _check(field: str, text: str) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LIMIT_BYTES:
        raise TextTooLarge(field, LIMIT_BYTES, size)
    if rule := _unreadable(text):
        raise SuspiciousContent(field, rule)
    clean = normalise(text)
    if _is_flood(clean):
        raise SuspiciousContent(field, Rule.FLOOD)
    if _meaningful_characters(clean) < MINIMUM_CHARACTERS[field]:
        raise TextTooShort(field, MINIMUM_CHARACTERS[field])
    if rule := _meant_for_a_machine(clean):
        raise SuspiciousContent(field, rule)
    if any(_meant_for_a_machine(hidden) for hidden in _decoded(clean)):
        raise SuspiciousContent(field, Rule.ENCODED_INSTRUCTIONS)
    return clean


# --- what a text is made of -------------------------------------------------------------------------------------------

_LINE_BREAK = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd-\uffff]")
_HIDDEN = re.compile(
    "[\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u202a-\u202e\u2060-\u206f\u3164\uffa0\U000e0000-\U000e0fff]"
)
# Turn the reading direction, or spell in letters that nobody sees.
_FORGERY = re.compile("[\u202d\u202e\U000e0001-\U000e007f]")
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007f]{1,7}")
# What honest documents are full of: soft hyphens, byte-order and direction marks, joiners outside emoji.
_LITTER = re.compile("[\u00ad\u200e\u200f\ufeff]|(?<![\u2600-\u27bf\ufe0f\U0001f300-\U0001faff])\u200d")
_BLANK_LINES = re.compile(r"\n{3,}")
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")
_MASH = re.compile(
    r"[bcdfghjklmnpqrstvwxzбвгджзйклмнпрстфхцчшщьъ]{6}|qwer|wert|asdf|sdfg|zxcv|йцук|цуке|фыва|ывап|олдж|ячсм|(\w)\1\1"
)
_RUN = re.compile(r"([^\W_])\1{29}|([^\w\s])\2{199}|_{200}|[\u0300-\u036f]{5}")


def normalise(text: str) -> str:
    """`text` in NFC with plain newlines, without control and invisible characters, at most one blank line in a row."""
    text = _LITTER.sub("", _HIDDEN.sub("", _CONTROL.sub("", _LINE_BREAK.sub("\n", text))))
    text = unicodedata.normalize("NFC", text).replace("\xa0", " ")
    return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip()


def _unreadable(text: str) -> Rule | None:
    allowed = max(8, len(text) // 100)
    if len(_CONTROL.findall(_LINE_BREAK.sub("\n", text))) > allowed:
        return Rule.BINARY
    text = _FLAG.sub("", text)
    if len(_HIDDEN.findall(text)) > allowed or len(_FORGERY.findall(text)) > 1:
        return Rule.HIDDEN_CHARACTERS
    return None


def _is_flood(text: str) -> bool:
    """One character, word or line over and over; a drawn line or a few of them are none."""
    if _RUN.search(text):
        return True
    counts = [count for character, count in Counter(text.casefold()).items() if not character.isspace()]
    if sum(counts) >= 200 and 2 * max(counts) > sum(counts):
        return True
    words = _WORD.findall(text.casefold())
    if len(words) > 40 and 20 * len(set(words)) < len(words):
        return True
    lines = [line for line in text.split("\n") if len(line) >= 10]
    return len(lines) >= 12 and 2 * Counter(lines).most_common(1)[0][1] > len(lines)


def _meaningful_characters(text: str) -> int:
    words = set(_WORD.findall(text.casefold()))
    mash = {word for word in words if len(word) >= 4 and not word.isdigit() and _MASH.search(word)}
    # One odd word is a trade mark; a text of them is a cat on the keyboard.
    read = words - mash if 2 * len(mash) >= len(words) else words
    return sum(map(len, read)) if any(map(_LETTER.search, read)) else 0


# --- texts that are meant for a machine -------------------------------------------------------------------------------

_LOOKALIKES = dict(zip("авсенкмортху", "abcehkmoptxy", strict=True))
_LATIN = str.maketrans(_LOOKALIKES | dict(zip("іјѕԁӏαορν0134579@$", "ijsdlaopvoieastgas", strict=True)))
_CYRILLIC = str.maketrans({latin: cyrillic for cyrillic, latin in _LOOKALIKES.items()} | {"0": "о", "3": "з", "@": "а"})
_NOT_WORDS = re.compile(r"[\W_]+")
_SPELLED_OUT = re.compile(r"(?<!\w)\w([ .\-_*|/])(?:\w\1){3,}\w(?!\w)")
_ACCENTS = re.compile("[\u0300-\u036f]")
_NEGATIONS = ("not", "never", "don t", "не", "нельзя")


class _Phrases:
    """Finds attack phrases of one language in a text, whatever alphabet its letters were borrowed from."""

    def __init__(self, templates: Mapping[Rule, str], alphabet: Mapping[int, str]) -> None:
        self._alphabet = alphabet
        # "Never ignore …" and "attacks such as …" are said by people to people.
        self._said_by_people = tuple(f" {self._fold(words)}" for words in (*_NEGATIONS, *QUOTED_AS_EXAMPLE))
        spaced: list[str] = []
        joined: list[str] = []
        for rule, table in templates.items():
            folded = self._fold("|".join(line.strip() for line in table.strip().split("\n")))
            phrases = re.sub(r"(?<=\w)\*", r"\\w*", folded.replace(")*", "){0,4}").replace("(", "(?:"))
            spaced.append(f"(?P<{rule.name}>{phrases})".replace(" ~ ", r" (?:\w+ ){0,5}"))
            joined.append(f"(?P<{rule.name}>{phrases})".replace(" ~ ", r"\w{0,40}").replace(" ", ""))
        self._spaced = re.compile(f" (?:{'|'.join(spaced)})(?= )")
        self._joined = re.compile("|".join(joined))

    def find(self, text: str) -> Rule | None:
        """The rule that the first attack in `text` breaks."""
        folded = self._fold(text)
        words = f" {_NOT_WORDS.sub(' ', folded)} "
        for attack in self._spaced.finditer(words):
            if not words.endswith(self._said_by_people, 0, attack.start()):
                return Rule[attack.lastgroup or ""]
        # i g n o r e, or i.g.n.o.r.e: where nothing shows the ends of words, phrases are sought without their spaces.
        spelled = "".join(_NOT_WORDS.sub("", run[0]) for run in _SPELLED_OUT.finditer(folded))
        joined = self._joined.search(spelled)
        return Rule[joined.lastgroup or ""] if joined else None

    def _fold(self, text: str) -> str:
        return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())).translate(self._alphabet)


_PHRASES = (_Phrases(ENGLISH, _LATIN), _Phrases(RUSSIAN, _CYRILLIC))


def _meant_for_a_machine(text: str) -> Rule | None:
    plain = html.unescape(unicodedata.normalize("NFKC", text))
    if MARKUP.search(plain.casefold()):
        return Rule.MACHINE_MARKUP
    return next((rule for phrases in _PHRASES if (rule := phrases.find(plain))), None)


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\s[A-Za-z0-9+/_-]{16,})*={0,2}")
_HEXADECIMAL = re.compile(r"(?:\b|0x|\\x)[0-9a-fA-F]{2}(?:[ :,]?(?:0x|\\x)?[0-9a-fA-F]{2}){15,}\b")


def _decoded(text: str) -> Iterator[str]:
    """The readable texts that stand in `text` as base64 or hexadecimal."""
    for blob in _BASE64.finditer(text):
        letters = re.sub(r"[\s=]", "", blob[0]).translate(str.maketrans("-_", "+/"))
        with_padding = letters[: len(letters) - (len(letters) % 4 == 1)] + "=" * (-len(letters) % 4)
        try:
            yield base64.b64decode(with_padding).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    for blob in _HEXADECIMAL.finditer(text):
        digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", blob[0])
        try:
            yield bytes.fromhex(digits).decode()
        except ValueError:
            continue
