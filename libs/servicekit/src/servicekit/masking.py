"""Takes people and secrets out of what is logged."""

import re

_LONGEST = 2_000
_READ = 5 * _LONGEST
"""How much is masked before the cut, so that what the cut goes through was whole when it was looked at."""

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<!\d)\d{6,12}:[A-Za-z0-9_-]{30,}"), "<bot-token>"),
    (re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}"), "<api-key>"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 <credential>"),
    (re.compile(r"(?<=://)[^/\s:@]{0,100}:[^/\s@]{1,200}(?=@)"), "<credentials>"),
    (re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"), "<email>"),
    (re.compile(r"(?<![\w-])(?:\d[ -]?){13,19}(?![\w-])"), "<card>"),
    (re.compile(r"(?<![\w-])\d{3}-\d{3}-\d{3}[ -]\d{2}(?![\w-])"), "<snils>"),
    (re.compile(r"(?<![\w.:-])(?:\+\d|8[ (-])[\d ()-]{8,16}\d(?![\w-])"), "<phone>"),
    (re.compile(r"(?<![\w.:-])[78]\d{10}(?![\w-])"), "<phone>"),
)


def mask(text: str) -> str:
    """The text with tokens, keys, credentials, e-mails, card and phone numbers replaced, cut to 2 000 characters."""
    text = text[:_READ]
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
