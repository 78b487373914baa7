"""What the gateway reads from the environment."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from servicekit.keys import KeyRing
from servicekit.settings import ServiceSettings

MIGRATIONS = Path(__file__).parents[2] / "migrations"
_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{3,}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SECRETS_AT_MOST = 2


def _listed(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


class Settings(ServiceSettings):
    service: ClassVar[str] = "gateway"

    grpc_port: int = Field(50050, ge=0, le=65535)
    ops_port: int = Field(9460, ge=0, le=65535)
    http_port: int = Field(8080, ge=0, le=65535)
    """Where the webhook is taken in; unused while polling."""

    telegram_bot_token: SecretStr
    telegram_api_url: str = "https://api.telegram.org"
    telegram_webhook_url: str | None = None
    """Where Telegram reaches the webhook; unset: long polling."""
    telegram_webhook_secret: Annotated[tuple[SecretStr, ...], BeforeValidator(_listed)] = ()
    """One, or two while they are changed: the first is told to Telegram, both are accepted."""
    admin_telegram_ids: Annotated[tuple[int, ...], BeforeValidator(_listed)] = ()

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    generation_target: str = "localhost:50051"
    billing_target: str = "localhost:50052"
    encryption_keys: SecretStr

    @field_validator("telegram_bot_token")
    @classmethod
    def _is_token(cls, value: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("is not a bot token, which looks like 123456:ABC…")
        return value

    @field_validator("telegram_api_url", "telegram_webhook_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("must be an http or https URL")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr) -> SecretStr:
        KeyRing.parse(value.get_secret_value())
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _are_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if len(value) > _SECRETS_AT_MOST or not all(_SECRET.fullmatch(each.get_secret_value()) for each in value):
            raise ValueError("must be one secret of 1-256 characters A-Z a-z 0-9 _ -, or two with a comma between")
        return value

    @model_validator(mode="after")
    def _webhook_has_secret(self) -> Self:
        if self.telegram_webhook_url and not self.telegram_webhook_secret:
            raise ValueError("TELEGRAM_WEBHOOK_URL needs TELEGRAM_WEBHOOK_SECRET: without it anyone could post updates")
        return self

    @property
    def bot_id(self) -> int:
        return int(self.telegram_bot_token.get_secret_value().partition(":")[0])
