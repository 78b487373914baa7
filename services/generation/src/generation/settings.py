"""What generation reads from the environment."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator
from servicekit.keys import KeyRing
from servicekit.settings import ServiceSettings

from generation.chain_file import ChainFileError, Vendor, read_chain
from generation.providers import Account


class Settings(ServiceSettings):
    """Generation's settings; GENERATION_<NAME> wins over <NAME>."""

    service: ClassVar[str] = "generation"

    grpc_port: int = Field(default=50051, ge=0, le=65535)
    ops_port: int = Field(default=9461, ge=0, le=65535)
    encryption_keys: SecretStr
    """Wrap people's keys: `id:base64 of 32 bytes`, newest first, separated by commas."""
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    billing_target: str = "localhost:50052"
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    model_chain_file: Path | None = None
    """The fallback chain; the one that ships unless set."""
    offline_writer_seconds: float = Field(default=3, ge=0, le=600)
    """How long the offline writer streams a letter."""
    worker_slots: int = Field(default=128, ge=1, le=20_000)
    """Versions that this process writes at once."""
    queue_limit: int = Field(default=2_000, ge=1)
    """Versions that may wait, in all processes together."""

    @field_validator("encryption_keys")
    @classmethod
    def _keys_are_keys(cls, value: SecretStr) -> SecretStr:
        KeyRing.parse(value.get_secret_value())
        return value

    @field_validator("model_chain_file")
    @classmethod
    def _chain_can_be_read(cls, value: Path | None) -> Path | None:
        try:
            read_chain(value)
        except ChainFileError as error:
            raise ValueError(str(error)) from None
        return value

    @property
    def key_ring(self) -> KeyRing:
        return KeyRing.parse(self.encryption_keys.get_secret_value())

    @property
    def accounts(self) -> dict[Vendor, Account]:
        """The vendors that there is a key for."""
        given: dict[Vendor, tuple[SecretStr | None, str | None]] = {
            "openai": (self.openai_api_key, self.openai_base_url),
            "anthropic": (self.anthropic_api_key, self.anthropic_base_url),
        }
        return {vendor: Account(key.get_secret_value(), url) for vendor, (key, url) in given.items() if key}
