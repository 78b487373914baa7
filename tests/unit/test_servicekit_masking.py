"""No person and no secret reaches a log line; what an operator needs does."""

import pytest
from servicekit.masking import mask


@pytest.mark.parametrize(
    "canary",
    [
        "ivan.petrov+job@mail.example.ru",
        "+79161234567",
        "+7 (916) 123-45-67",
        "8 (916) 123-45-67",
        "8-916-123-45-67",
        "8 916 123 45 67",
        "89161234567",
        "79161234567",
        "+1 415 555 01 32",
        "4276 1234 5678 9010",
        "4276123456789010",
        "112-233-445 95",
        "1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0",
        "sk-proj-abcdefghijklmnop1234",
        "sk-ant-api03-abcdefghijklmnop",
    ],
)
@pytest.mark.parametrize("line", ["{}", "call me: {}, please", "key={}\nnext", "«{}»"])
def test_a_canary_does_not_survive(canary: str, line: str) -> None:
    masked = mask(line.format(canary))
    assert canary not in masked
    assert "<" in masked


def test_a_bot_token_goes_out_of_the_urls_it_stands_in() -> None:
    token = "1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
    for path in ("bot{}/getMe", "file/bot{}/documents/1.pdf"):
        masked = mask(f"POST https://api.telegram.org/{path.format(token)} failed")
        assert masked == f"POST https://api.telegram.org/{path.format('<bot-token>')} failed"


def test_credentials_of_a_url_and_a_header_go_and_the_rest_stays() -> None:
    assert mask("postgresql://me:s3cr3t@db:5432/pismo is away") == "postgresql://<credentials>@db:5432/pismo is away"
    assert mask("Authorization: Bearer abc.def-123456") == "Authorization: Bearer <credential>"


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-23T06:07:47.123456Z listening grpc_port=50052",
        "letter 3f2b8c1e-9d4a-4b6f-8a57-0c1d2e3f4a5b, person 81234567-8912-4345-8678-891234567891",
        "trace 0af7651916cd43dd8448eb211c80319c took 1234567 us on 10.0.0.7:50051",
        "used=3 reserved=0 limit=20 rows=8123456",
    ],
)
def test_what_an_operator_needs_stays(line: str) -> None:
    assert mask(line) == line


def test_a_long_text_is_cut_and_what_is_cut_through_is_not_shown() -> None:
    for start in range(1_960, 2_001):
        masked = mask(
            "x" * start + " ivan.petrov@mail.example.ru 1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0 and on"
        )
        assert len(masked) <= 2_001
        assert "ivan" not in masked
        assert "AAHd" not in masked
