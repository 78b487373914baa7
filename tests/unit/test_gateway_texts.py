"""Everything can be said, in every language."""

import re
from datetime import UTC, datetime
from importlib.resources import files

import grpc
import pytest
from fluent.runtime import FluentResource
from fluent.syntax import ast
from fluent.syntax.visitor import Visitor
from gateway.conversation import LANGUAGES, Consent, Stage, guess_language
from gateway.refusals import explain
from gateway.texts import TextFault, phrases, text_name
from pismo.billing.v1 import billing_pb2
from pismo.generation.v1 import generation_pb2
from pismo.rpc.v1 import rpc_pb2
from servicekit.errors import Refusal

UNSET = "UNSPECIFIED"
REASONS = sorted(
    {
        name.removeprefix("ERROR_REASON_")
        for enum in (generation_pb2.ErrorReason, billing_pb2.ErrorReason, rpc_pb2.ErrorReason)
        for name, _ in enum.items()
    }
    - {UNSET}
)
FAILURES = sorted(
    name.removeprefix("FAILURE_REASON_") for name, _ in generation_pb2.FailureReason.items() if not name.endswith(UNSET)
)


class _Variables(Visitor):
    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:
        self.names.add(node.id.name)


def texts(language: str) -> dict[str, set[str]]:
    """Every text with the variables it takes."""
    source = (files("gateway.texts") / f"{language}.ftl").read_text("utf-8")
    found = {}
    for entry in FluentResource(source).body:
        assert not isinstance(entry, ast.Junk), entry.content
        if isinstance(entry, ast.Message):
            assert entry.id.name not in found, f"{entry.id.name} is there twice"
            variables = _Variables()
            variables.visit(entry)
            found[entry.id.name] = variables.names
    return found


def test_every_language_has_the_same_texts_with_the_same_variables() -> None:
    assert texts("ru") == texts("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_can_be_said(language: str) -> None:
    say = phrases(language)
    for name, variables in texts(language).items():
        for value in (0, 1, 2, 5):
            said = say(name, **dict.fromkeys(variables, value))
            assert said.strip()
            assert "{" not in said
            assert "???" not in said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", REASONS)
def test_every_error_reason_has_a_text(language: str, reason: str) -> None:
    assert phrases(language).has(text_name("error", reason))
    said = explain(phrases(language), Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason))
    assert said.strip()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", FAILURES)
def test_every_failure_reason_has_a_text_that_says_it_cost_nothing(language: str, reason: str) -> None:
    for kind in ("letter", "revision"):
        said = phrases(language)(text_name("failure", reason), kind=kind)
        assert re.search("ничего не списано|nothing was charged", said, re.IGNORECASE)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reason_of_a_newer_service_is_answered_all_the_same(language: str) -> None:
    refusal = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "MOON_IS_FULL")
    assert explain(phrases(language), refusal) == phrases(language)("error-internal")


def test_a_used_up_allowance_says_when_it_renews_in_its_own_time_zone() -> None:
    metadata = {
        "plan": "free",
        "limit": "3",
        "used": "2",
        "reserved": "1",
        "resets_at": "2026-11-30T21:00:00+00:00",
        "time_zone": "Europe/Moscow",
    }
    refusal = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "ALLOWANCE_EXHAUSTED", metadata)
    assert "2 из 3, пишется: 1. Новые появятся 1 декабря" in explain(phrases("ru"), refusal)
    assert "2 of 3 used, being written: 1. New ones come on December 1" in explain(phrases("en"), refusal)


def test_a_text_over_the_limit_never_reads_as_the_limit() -> None:
    metadata = {"field": "resume", "limit_bytes": "51200", "actual_bytes": "51201"}
    refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "TEXT_TOO_LARGE", metadata)
    assert "51 КБ, а я читаю до 50 КБ" in explain(phrases("ru"), refusal)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (1, "доступно ещё 1 письмо"),
        (3, "доступны ещё 3 письма"),
        (11, "доступно ещё 11 писем"),
        (21, "доступно ещё 21 письмо"),
    ],
)
def test_russian_numbers_bend_their_words(left: int, said: str) -> None:
    assert said in phrases("ru")("left", left=left, window="month")


def test_a_missing_variable_is_a_fault_not_half_a_sentence() -> None:
    with pytest.raises(TextFault):
        phrases("ru")("left", left=1)
    with pytest.raises(TextFault):
        phrases("en")("no-such-text")


def test_days_are_written_as_people_write_them() -> None:
    moment = datetime(2026, 11, 30, 21, 30, tzinfo=UTC)
    assert phrases("ru").day(moment, "Europe/Moscow") == "1 декабря"
    assert phrases("en").day(moment, "UTC") == "November 30"


def test_every_consent_has_its_stage_and_its_texts() -> None:
    for kind in Consent:
        assert isinstance(kind.stage, Stage)
        for part in ("question", "agree", "refuse", "given", "refused"):
            assert phrases("ru").has(f"consent-{kind.value.replace('_', '-')}-{part}")


@pytest.mark.parametrize(
    ("code", "language"), [(None, "ru"), ("ru", "ru"), ("ru-RU", "ru"), ("be", "ru"), ("en-GB", "en"), ("de", "en")]
)
def test_the_language_is_guessed_from_telegrams(code: str | None, language: str) -> None:
    assert guess_language(code) == language
