"""What the gateway reads from the environment, and what it says about faults."""

import base64

import pytest
from gateway.settings import Settings
from servicekit.settings import load

GOOD = {
    "GATEWAY_DATABASE_URL": "postgresql://gateway_requests:p@localhost/pismo",
    "TELEGRAM_BOT_TOKEN": "123456:AAabcdefghijklmnopqrstuvwxyz0123456",
    "ENCRYPTION_KEYS": f"k1:{base64.b64encode(b'k' * 32).decode()}",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_defaults_poll_the_real_telegram(environment: pytest.MonkeyPatch) -> None:
    settings = load(Settings)
    assert settings.telegram_api_url == "https://api.telegram.org"
    assert settings.telegram_webhook_url is None
    assert (settings.grpc_port, settings.http_port, settings.ops_port) == (50050, 8080, 9460)
    assert settings.bot_id == 123456


def test_lists_are_read_with_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ADMIN_TELEGRAM_IDS", "1, 2,")
    environment.setenv("TELEGRAM_WEBHOOK_URL", "https://example.org/hook")
    environment.setenv("TELEGRAM_WEBHOOK_SECRET", "new,old")
    settings = load(Settings)
    assert settings.admin_telegram_ids == (1, 2)
    assert [secret.get_secret_value() for secret in settings.telegram_webhook_secret] == ["new", "old"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TELEGRAM_BOT_TOKEN", "secret-nonsense", "TELEGRAM_BOT_TOKEN"),
        ("TELEGRAM_API_URL", "telegram", "TELEGRAM_API_URL"),
        ("TELEGRAM_WEBHOOK_SECRET", "no spaces", "TELEGRAM_WEBHOOK_SECRET"),
        ("TELEGRAM_WEBHOOK_URL", "https://example.org", "TELEGRAM_WEBHOOK_SECRET"),
        ("ENCRYPTION_KEYS", "secret-nonsense", "ENCRYPTION_KEYS"),
        ("ADMIN_TELEGRAM_IDS", "anna", "ADMIN_TELEGRAM_IDS"),
    ],
)
def test_a_fault_names_its_variable_and_tells_no_secret(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "secret-nonsense" not in error
