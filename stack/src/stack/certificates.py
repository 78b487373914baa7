"""The certificates that services show each other under `make up TLS=1`: one authority and what it signed.

Made once and renewed when little of their time is left. A kill in the middle leaves files that do not fit together; the
next `issue` sees that and makes them anew.
"""

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stack.home import write_private

_AUTHORITY_NAME = "pismo on this machine"
_AUTHORITY_LASTS = timedelta(days=3650)
_CERTIFICATE_LASTS = timedelta(days=365)
_RENEWED_BEFORE_END = timedelta(days=90)
"""Longer than anybody lets one `make up` run: a certificate is looked at only when it starts."""
_CLOCKS_DIFFER = timedelta(minutes=5)


class Identity(NamedTuple):
    """The PEM files by which a service shows who it is and checks others."""

    certificate: Path
    key: Path
    authority: Path

    @classmethod
    def of(cls, service: str, folder: Path) -> "Identity":
        return cls(folder / f"{service}.crt", folder / f"{service}.key", folder / "ca.crt")


class Authority:
    """The certificate authority of a folder, made there when it is missing or ends soon."""

    def __init__(self, folder: Path, now: datetime) -> None:
        """`now` has a time zone. Raises OSError where the folder cannot be written."""
        self._folder = folder
        self._now = now
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What it signs must not outlive it.
        kept = _read(folder / "ca.crt", folder / "ca.key", ends_after=now + _CERTIFICATE_LASTS + _RENEWED_BEFORE_END)
        self._certificate, self._key = kept or self._make_authority()

    def issue(self, service: str) -> Identity:
        """The files of a service: those in the folder while they are good, else new ones."""
        identity = Identity.of(service, self._folder)
        kept = _read(identity.certificate, identity.key, ends_after=self._now + _RENEWED_BEFORE_END)
        if kept is None or not self._signed(kept[0]):
            self._make_certificate(service, identity)
        return identity

    def _signed(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _make_authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _common_name(_AUTHORITY_NAME)
        certificate = (
            self._begin(name, name, key.public_key(), _AUTHORITY_LASTS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write(certificate, key, self._folder / "ca.crt", self._folder / "ca.key")
        return certificate, key

    def _make_certificate(self, service: str, identity: Identity) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
        names = [x509.DNSName(service), x509.DNSName("localhost"), *addresses]
        certificate = (
            self._begin(_common_name(service), self._certificate.subject, key.public_key(), _CERTIFICATE_LASTS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(key_cert_sign=False), critical=True)
            # Every service answers calls and makes some.
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self._write(certificate, key, identity.certificate, identity.key)

    def _begin(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _CLOCKS_DIFFER)
            .not_valid_after(self._now + lasts)
        )

    def _write(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, certificate_file: Path, key_file: Path
    ) -> None:
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_private(key_file, private.decode())
        write_private(certificate_file, certificate.public_bytes(pem).decode())


def _read(
    certificate_file: Path, key_file: Path, ends_after: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A certificate and its key; None when they are missing, do not belong together, or end too soon."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None
    return (certificate, key) if certificate.not_valid_after_utc > ends_after else None


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
