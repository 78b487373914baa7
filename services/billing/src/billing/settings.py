"""What billing reads from the environment."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator
from servicekit.settings import ServiceSettings

from billing.catalogue import Catalogue, read_catalogue


class Settings(ServiceSettings):
    service: ClassVar[str] = "billing"

    grpc_port: int = Field(default=50052, ge=0, le=65535)
    ops_port: int = Field(default=9462, ge=0, le=65535)
    plans_file: Path | None = None
    """The plan catalogue; by default the one that ships."""
    reservation_minutes: int = Field(default=30, ge=1, le=24 * 60)
    """How long a letter is held before it gives its allowance back by itself. Must outlive the longest letter."""
    request_days: int = Field(default=30, ge=1, le=366)
    """How long a request id is remembered."""

    @field_validator("plans_file")
    @classmethod
    def _can_be_used(cls, path: Path | None) -> Path | None:
        read_catalogue(path)
        return path

    def catalogue(self) -> Catalogue:
        return read_catalogue(self.plans_file)
