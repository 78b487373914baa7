"""Reads a model's text before a person does, sentence by sentence.

`OutputGuard` is fed a stream cut anywhere and gives back the text that may be shown: whole sentences and lines that
were checked, without the assistant's preamble, postscript and Markdown. What is shown is never taken back: it only
grows, and the final text begins with it. At the first fault the text stops growing, so that nobody sees the fault.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from generation.assistant_phrases import (
    ABOUT_THE_TEXT,
    BLANK,
    GREETING_WITH_BLANK,
    INLINE_PREAMBLE,
    POSTSCRIPT,
    PREAMBLE,
    REFUSAL,
    SIGN_OFF,
)

LIMIT_CHARACTERS = 3500
MINIMUM_LETTERS = 20


class Fault(StrEnum):
    """Why a text is no letter to deliver."""

    PLACEHOLDER = "placeholder"
    """Something is left for the person to fill in."""
    LEAK = "leak"
    """Our instructions, fences or their nonce."""
    REFUSAL = "refusal"
    """The model declines, or speaks of itself."""
    TOO_LONG = "too_long"
    """More than `LIMIT_CHARACTERS`."""
    TOO_SHORT = "too_short"
    """Fewer than `MINIMUM_LETTERS` letters: no letter at all."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole checked text, and the first thing that is wrong with it; without one it may be delivered."""

    text: str
    fault: Fault | None


# A unit ends with its line, or where white space follows the end of a sentence. Inside an open bracket no sentence
# ends, or a placeholder could slip through in halves.
_UNIT_END = re.compile(r"\n|(?<=[.!?…])[\"»”’)\]*_]{0,4}[ \t]")
_OPEN_BRACKET = re.compile(r"\[[^\]\n]{0,80}$|\{[^}\n]{0,80}$|<[^>\n]{0,80}$")
_THINKING = "<think>"

_MARKDOWN = (
    (re.compile(r"^\s*```.*$|^\s*(?:[-*_=]\s?){3,}$"), ""),
    (re.compile(r"^\s*#{1,6}\s+|^\s*>\s?"), ""),
    (re.compile(r"^(\s*)[*+•]\s+"), r"\1– "),
    (re.compile(r"!?\[([^\]\n]{1,200})\]\((?:https?:|mailto:|#)[^)\s]{0,500}\)"), r"\1"),
    (re.compile(r"\*\*|`|(?<!\w)__(?=[^\s_])|(?<=[^\s_])__(?!\w)"), ""),
    (re.compile(r"(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|(?<!\w)_(?=[^\W_])|(?<=[^\W_])_(?!\w)"), ""),
)

_FENCE = re.compile(r"<<<|>>>|<\|")
_WORDS_ONLY = re.compile(r"\W+")
_OWN_SENTENCE_FROM = 30
_LONGEST_SIGNATURE_LINE = 100
_REFUSALS_WITHIN = 400


def plain(line: str) -> str:
    """One line or sentence without Markdown: emphasis, headings, fences, rules, quotes and links become their words."""
    for pattern, words in _MARKDOWN:
        line = pattern.sub(words, line)
    return line.strip()


def repair(line: str, *, after_sign_off: bool = False) -> str:
    """One line with the blanks left out that nobody misses: the addressee of a greeting, what stands in a signature.

    Any other line comes back as it is. A line of nothing but blanks, or a signature's label with one, comes back empty.
    """
    if not BLANK.search(line):
        return line
    if greeting := GREETING_WITH_BLANK.match(line):
        return "Здравствуйте!" if greeting["ru"] else "Dear hiring team,"
    if not BLANK.sub("", line).strip(" ,.;:|/—–-"):
        return ""
    if signature := SIGN_OFF.fullmatch(line):
        return line[: signature.start("name")].rstrip(" ,")
    if after_sign_off:
        kept = [part for part in re.split(r"\s*[|•·]\s*|,\s+", line) if not BLANK.search(part)]
        return ", ".join(kept)
    return line


class OutputGuard:
    """Checks one model's answer while it streams. A failover starts with a new guard.

    `nonce` and `instructions` are the prompt's, and must not come back. Whether the text is whole is not guessed from
    its words: the vendor says so, and whoever calls the model checks that.
    """

    def __init__(self, *, nonce: str = "", instructions: str = "") -> None:
        self._nonce = nonce
        self._instructions = _WORDS_ONLY.sub(" ", instructions.casefold())
        self._pending = ""
        self._shown = ""
        self._gap = ""  # the line breaks between what is shown and what comes next
        self._held = ""  # the comma of a sign-off, wanted only if a name follows
        self._signed = False
        self._began = False
        self._ended = False
        self._fault: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """The fault that already made this answer undeliverable; the caller need not read on."""
        return self._fault

    @property
    def text(self) -> str:
        """What may be shown now."""
        return self._shown

    def feed(self, delta: str) -> str:
        """Takes the next piece of the raw text; returns all that may be shown now."""
        self._pending += delta.replace("\r", "")
        if self._fault is None and not self._ended and self._past_thinking():
            start = 0
            for end in _UNIT_END.finditer(self._pending):
                unit = self._pending[start : end.end()]
                if "\n" not in unit and _OPEN_BRACKET.search(unit):
                    continue
                self._take(unit)
                start = end.end()
            self._pending = self._pending[start:]
        return self._shown

    def finish(self) -> Verdict:
        """Takes what is left as the last line and judges the whole. Call once, when the model says that it is done."""
        self.feed("\n")
        if self._fault is None and sum(map(str.isalpha, self._shown)) < MINIMUM_LETTERS:
            self._fault = Fault.TOO_SHORT
        return Verdict(self._shown, self._fault)

    def _past_thinking(self) -> bool:
        """Models that think aloud do so first; waits until they are done."""
        opening = self._pending.lstrip()
        if self._began or not (opening.startswith(_THINKING) or _THINKING.startswith(opening)):
            return True
        _, done, after = opening.partition("</think>")
        if done:
            self._pending = after
        return bool(done)

    def _take(self, unit: str) -> None:
        """Drops, repairs, condemns or shows one sentence or line."""
        if self._fault or self._ended:
            return
        self._began = True
        text = plain(unit)
        if not self._shown:
            text = "" if PREAMBLE.fullmatch(text) else INLINE_PREAMBLE.sub("", text, count=1)
        elif self._is_postscript(text):
            self._ended = True
            return
        text = repair(text, after_sign_off=self._signed)
        if text:
            self._fault = self._fault_of(text)
        if text and not self._fault:
            self._show(text)
            self._gap = " "
        if unit.endswith("\n"):
            self._gap = self._gap.strip(" ") + "\n"

    def _is_postscript(self, text: str) -> bool:
        if self._signed and len(text) > _LONGEST_SIGNATURE_LINE:
            return True
        return bool(POSTSCRIPT.match(text)) and (self._signed or bool(ABOUT_THE_TEXT.search(text)))

    def _show(self, text: str) -> None:
        sign_off = SIGN_OFF.fullmatch(text)
        bare = text.rstrip(" ,") if sign_off and not sign_off["name"] else text
        gap = self._gap[:2] if self._shown else ""
        if len(self._shown) + len(self._held) + len(gap) + len(text) > LIMIT_CHARACTERS:
            self._fault = Fault.TOO_LONG
            return
        self._shown += self._held + gap + bare
        self._held = text[len(bare) :]
        self._signed = self._signed or sign_off is not None

    def _fault_of(self, text: str) -> Fault | None:
        words = _WORDS_ONLY.sub(" ", text.casefold()).strip()
        if (self._nonce and self._nonce in text) or _FENCE.search(text):
            return Fault.LEAK
        if len(words) >= _OWN_SENTENCE_FROM and words in self._instructions:
            return Fault.LEAK
        if len(self._shown) < _REFUSALS_WITHIN and REFUSAL.search(text):
            return Fault.REFUSAL
        return Fault.PLACEHOLDER if BLANK.search(text) else None
