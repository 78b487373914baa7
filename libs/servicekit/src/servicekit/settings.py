"""Settings from the environment, checked at start, every fault reported at once."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from servicekit.tls import TlsFiles


class _Environment(PydanticBaseSettingsSource):
    """Reads field `x_y` of service S from S_X_Y, then X_Y, each also as a path in …_FILE. An empty value is none."""

    def __init__(self, settings_cls: type[BaseSettings], service: str, environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._service = service
        self._environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in (f"{self._service}_{field_name}".upper(), field_name.upper()):
            if value := self._environ.get(name):
                return value, field_name, False
            if path := self._environ.get(f"{name}_FILE"):
                return Path(path).read_text().strip(), field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            try:
                value, _, _ = self.get_field_value(field, name)
            except OSError as error:
                # Reported with the other faults: no field takes an exception for a value.
                value = error
            if value is not None:
                values[name] = value
        return values


class SchemaSettings(BaseSettings):
    """What it takes to migrate a service's schema. The service-prefixed name of a variable wins over the plain one."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    service: ClassVar[str]

    database_url: SecretStr | None = None
    """The requests role of the service's schema: what RPCs run as."""
    migration_database_url: SecretStr | None = None
    """The schema's owner; by default DATABASE_URL's server and password with the owner's name."""

    @property
    def owner_dsn(self) -> str:
        return self._as_role(self.migration_database_url, "owner")

    def _as_role(self, given: SecretStr | None, role: str) -> str:
        if given is not None:
            return given.get_secret_value()
        url = urlsplit(self.requests_dsn)
        password = f":{url.password}" if url.password else ""
        address = url.netloc.rpartition("@")[2]
        return urlunsplit(url._replace(netloc=f"{self.service}_{role}{password}@{address}"))

    @property
    def requests_dsn(self) -> str:
        return self.database_url.get_secret_value() if self.database_url else ""

    @model_validator(mode="after")
    def _a_database_is_given(self) -> Self:
        if self.database_url is None and self.migration_database_url is None:
            raise ValueError("DATABASE_URL or MIGRATION_DATABASE_URL must be set")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls, cls.service, os.environ)


class ServiceSettings(SchemaSettings):
    """What every service reads; its own settings add to it."""

    database_url: SecretStr
    worker_database_url: SecretStr | None = None
    """The worker role; by default the same server with the worker role's name and the same password."""
    listen_address: str = "127.0.0.1"
    grpc_port: int = Field(ge=0, le=65535)
    ops_port: int = Field(ge=0, le=65535)
    analytics_target: str = "localhost:50053"
    instance: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """The name that leases are held under. Unique among running processes; a restarted one may keep its name."""
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_ca_file: Path | None = None
    call_table_file: Path | None = None
    log_level: str = "INFO"
    sandbox: bool = False
    clock_offset_file: Path | None = None
    drain_seconds: float = Field(default=60, ge=0, le=600)
    """How long work in progress may take to finish after SIGTERM before it is handed over."""
    drain_notice_seconds: float = Field(default=0, ge=0, le=60)
    """How long to keep answering after NOT_SERVING, so that balancers look elsewhere first. A cluster wants 5."""

    @model_validator(mode="after")
    def _clock_moves_only_in_the_sandbox(self) -> Self:
        if self.clock_offset_file and not self.sandbox:
            raise ValueError("CLOCK_OFFSET_FILE moves the clock, which only the sandbox may: set SANDBOX=1 or unset it")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        files = (self.tls_cert_file, self.tls_key_file, self.tls_ca_file, self.call_table_file)
        if any(files) and not all(files):
            raise ValueError("TLS_CERT_FILE, TLS_KEY_FILE, TLS_CA_FILE and CALL_TABLE_FILE go together")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """mTLS for both directions; None means plain, for services inside one host."""
        if self.tls_cert_file and self.tls_key_file and self.tls_ca_file:
            return TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file)
        return None

    @property
    def worker_dsn(self) -> str:
        return self._as_role(self.worker_database_url, "worker")


S = TypeVar("S", bound=SchemaSettings)


def load(settings: type[S]) -> S:
    """The service's settings, or exit code 2 with one line for each fault that names its variable."""
    try:
        return settings()
    except ValidationError as error:
        print(f"{settings.service}: the environment has {error.error_count()} fault(s):", file=sys.stderr)
        for fault in error.errors(include_input=False, include_url=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else "environment"
            print(f"  {name}: {fault['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
