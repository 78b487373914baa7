"""What the bot says, in every language. A missing text or variable is an error, never half a sentence."""

from datetime import datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel.dates import format_date
from fluent.runtime import FluentBundle, FluentResource


class TextFault(Exception):
    """A text is missing, or is said without one of its variables."""


class Phrases:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._bundle = FluentBundle([language], use_isolating=False)
        self._bundle.add_resource(FluentResource((files(__package__) / f"{language}.ftl").read_text("utf-8")))

    def __call__(self, name: str, **variables: str | int) -> str:
        """The text of that name. Raises TextFault."""
        if not self.has(name):
            raise TextFault(f"no text {name} in {self.language}")
        pattern = self._bundle.get_message(name).value
        text, faults = self._bundle.format_pattern(pattern, variables) if pattern else ("", [ValueError("no value")])
        if faults:
            raise TextFault(f"{name} in {self.language}: {faults[0]}")
        return str(text)

    def has(self, name: str) -> bool:
        return self._bundle.has_message(name)

    def day(self, moment: datetime, time_zone: str) -> str:
        """A day as people write it: «1 декабря», "December 1"."""
        local = moment.astimezone(ZoneInfo(time_zone))
        return format_date(local, "d MMMM" if self.language == "ru" else "MMMM d", locale=self.language)


@cache
def phrases(language: str) -> Phrases:
    return Phrases(language)


def text_name(prefix: str, enum_name: str) -> str:
    """How the text for one value of a proto enum is called: `error-allowance-exhausted`."""
    return f"{prefix}-{enum_name.lower().replace('_', '-')}"
