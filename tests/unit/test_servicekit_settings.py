"""Settings come from the environment, all faults are told at once, and no secret is shown."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr
from servicekit.settings import ServiceSettings, load

DATABASE = "postgresql://kiosk_requests:s3cret@db.example:5432/pismo?sslmode=require"


class Settings(ServiceSettings):
    service: ClassVar[str] = "kiosk"
    grpc_port: int = Field(default=50059, ge=0, le=65535)
    ops_port: int = Field(default=9469, ge=0, le=65535)
    token: SecretStr | None = None


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        for prefix in ("", "KIOSK_"):
            for suffix in ("", "_FILE"):
                monkeypatch.delenv(f"{prefix}{name.upper()}{suffix}", raising=False)
    monkeypatch.setenv("DATABASE_URL", DATABASE)
    return monkeypatch


def test_every_fault_is_told_at_once_under_its_name_and_no_value_is_shown(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("DATABASE_URL")
    environment.setenv("KIOSK_GRPC_PORT", "70000")
    environment.setenv("OPS_PORT", "hunter2")
    environment.setenv("TOKEN_FILE", "/nowhere/token")
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == [
        "DATABASE_URL",
        "GRPC_PORT",
        "OPS_PORT",
        "TOKEN",
    ]
    assert "hunter2" not in said


def test_a_secret_is_read_from_its_file_and_stripped(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    environment.setenv("TOKEN_FILE", str(tmp_path / "token"))
    settings = load(Settings)
    assert settings.token is not None
    assert settings.token.get_secret_value() == "t0ken"
    assert "t0ken" not in repr(settings)
    assert "s3cret" not in repr(settings)


def test_the_services_own_name_of_a_variable_wins_and_an_empty_one_is_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GRPC_PORT", "1")
    environment.setenv("KIOSK_GRPC_PORT", "2")
    environment.setenv("KIOSK_OPS_PORT", "")
    settings = load(Settings)
    assert (settings.grpc_port, settings.ops_port) == (2, 9469)


def test_the_other_roles_follow_from_the_one_that_is_given(environment: pytest.MonkeyPatch) -> None:
    settings = load(Settings)
    assert settings.worker_dsn == DATABASE.replace("kiosk_requests", "kiosk_worker")
    assert settings.owner_dsn == DATABASE.replace("kiosk_requests", "kiosk_owner")
    environment.setenv("WORKER_DATABASE_URL", "postgresql://other@elsewhere/db")
    assert load(Settings).worker_dsn == "postgresql://other@elsewhere/db"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("CLOCK_OFFSET_FILE", "/tmp/offset", "only the sandbox may"), ("TLS_CERT_FILE", "/tmp/cert", "go together")],  # noqa: S108
)
def test_what_does_not_go_together_is_refused(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit):
        load(Settings)
    assert told in capsys.readouterr().err
