"""The certificates that `make up TLS=1` makes and keeps."""

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from stack.certificates import Authority, Identity

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def issue(folder: Path, now: datetime = NOW) -> Identity:
    return Authority(folder, now).issue("billing")


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def contents(identity: Identity) -> list[bytes]:
    return [path.read_bytes() for path in identity]


def test_a_certificate_names_its_service_and_this_machine(tmp_path: Path) -> None:
    made = certificate(issue(tmp_path).certificate)
    assert [each.value for each in made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["billing"]
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["billing", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    made.verify_directly_issued_by(certificate(tmp_path / "ca.crt"))


def test_only_their_owner_reads_the_keys(tmp_path: Path) -> None:
    issue(tmp_path / "tls")
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    for key in ("ca.key", "billing.key"):
        assert stat.S_IMODE((tmp_path / "tls" / key).stat().st_mode) == 0o600


def test_what_was_made_is_kept_while_much_of_its_time_is_left(tmp_path: Path) -> None:
    first = contents(issue(tmp_path))
    assert contents(issue(tmp_path, NOW + timedelta(days=270))) == first


def test_a_certificate_near_its_end_is_renewed_by_the_same_authority(tmp_path: Path) -> None:
    old, _, authority = contents(issue(tmp_path))
    soon = NOW + timedelta(days=280)
    identity = issue(tmp_path, soon)
    assert identity.certificate.read_bytes() != old
    assert identity.authority.read_bytes() == authority
    assert certificate(identity.certificate).not_valid_after_utc > soon + timedelta(days=90)


def test_an_authority_near_its_end_is_renewed_with_all_it_signed(tmp_path: Path) -> None:
    issue(tmp_path)
    late = NOW + timedelta(days=3300)
    identity = issue(tmp_path, late)
    authority, made = certificate(identity.authority), certificate(identity.certificate)
    assert made.not_valid_after_utc < authority.not_valid_after_utc
    made.verify_directly_issued_by(authority)


@pytest.mark.parametrize("damaged", ["billing.key", "billing.crt", "ca.key", "ca.crt"])
@pytest.mark.parametrize("how", ["missing", "of another", "half"])
def test_files_that_do_not_fit_together_are_made_anew(tmp_path: Path, damaged: str, how: str) -> None:
    issue(tmp_path / "tls")
    issue(tmp_path / "other")
    path = tmp_path / "tls" / damaged
    match how:
        case "missing":
            path.unlink()
        case "of another":
            path.write_bytes((tmp_path / "other" / damaged).read_bytes())
        case _:
            path.write_bytes(path.read_bytes()[:100])
    identity = issue(tmp_path / "tls")
    made = certificate(identity.certificate)
    made.verify_directly_issued_by(certificate(identity.authority))
    assert contents(issue(tmp_path / "tls")) == contents(identity)
