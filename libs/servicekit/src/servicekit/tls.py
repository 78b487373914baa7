"""mTLS between services: who calls is read from the client's certificate, what they may call from one table."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import yaml


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: this service's certificate and key, and the authority that both ends must be signed by."""

    certificate: Path
    key: Path
    authority: Path

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials that ask every client for a certificate. The files are re-read: a rotation needs no restart."""
        last = self._server_configuration()

        def fetch() -> grpc.ServerCertificateConfiguration:
            # A rotation replaces several files; half of it must not take the server down.
            nonlocal last
            with contextlib.suppress(OSError):
                last = self._server_configuration()
            return last

        return grpc.dynamic_ssl_server_credentials(last, fetch, require_client_authentication=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.authority.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )

    def _server_configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.certificate.read_bytes())], self.authority.read_bytes()
        )


class CallTable:
    """Which caller may call which of this service's methods."""

    def __init__(self, callers: Mapping[str, frozenset[str]], known: frozenset[str]) -> None:
        self._callers = callers
        self._known = known

    @classmethod
    def read(cls, path: Path, service: str) -> "CallTable":
        """The service's part of the table. Raises ValueError for a table of another form."""
        table = yaml.safe_load(path.read_text())
        if not isinstance(table, dict) or service not in table:
            raise ValueError(f"{path}: no entry for {service}")
        callers = {caller: frozenset(methods) for caller, methods in (table[service] or {}).items()}
        return cls(callers, frozenset(table))

    def caller(self, auth_context: Mapping[str, Iterable[bytes]]) -> str:
        """The service a certificate names: by common name, or by a host name `<service>` or `<release>-<service>`."""
        for key in ("x509_common_name", "x509_subject_alternative_name"):
            for value in auth_context.get(key, ()):
                host = value.decode(errors="replace").partition(".")[0]
                for name in (host, host.rpartition("-")[2]):
                    if name in self._known:
                        return name
        return "unknown"

    def allows(self, caller: str, method: str) -> bool:
        """Whether `caller` may call `package.Service/Method`."""
        allowed = self._callers.get(caller, frozenset())
        return method in allowed or f"{method.partition('/')[0]}/*" in allowed
