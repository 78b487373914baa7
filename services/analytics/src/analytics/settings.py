"""What analytics reads from the environment."""

from typing import ClassVar

from pydantic import Field
from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Analytics' settings; ANALYTICS_<NAME> wins over <NAME>."""

    service: ClassVar[str] = "analytics"

    grpc_port: int = Field(50053, ge=0, le=65535)
    ops_port: int = Field(9463, ge=0, le=65535)
