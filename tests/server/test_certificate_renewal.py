"""A certificate is renewed under its names, by the own CA or another one, and every mistake is one sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from fedcredit.errors import ConfigError
from fedcredit.provisioning.certificates import Authority, make_authority, make_server_certificate
from server import certificate_renewal
from server.__main__ import app
from server.certificate_check import certificate_names, certificate_problems
from server.certificate_renewal import CertificateFiles, ask, renew, take
from tests.coordinators import write_coordinator

NOW = datetime.now(UTC)
HOSTS = ("consortium.example", "localhost", "127.0.0.1")


@pytest.fixture
def own() -> Authority:
    return make_authority("a consortium", NOW)


@pytest.fixture
def files(tmp_path: Path, own: Authority) -> CertificateFiles:
    """A certificate that ended yesterday, and the key of its CA."""
    made = make_server_certificate(own, HOSTS, NOW - timedelta(days=731))
    found = CertificateFiles(*(tmp_path / name for name in ("server.pem", "server.key", "ca.pem", "ca.key")))
    contents = (made.certificate, made.key, made.ca, own.key)
    for path, content in zip((found.certificate, found.key, found.ca, found.ca_key), contents, strict=True):
        path.write_bytes(content)
    return found


def signed(request: bytes, ca: Authority, *, names: tuple[str, ...] = HOSTS) -> bytes:
    """What another CA makes of a request."""
    asked = x509.load_pem_x509_csr(request)
    root = x509.load_pem_x509_certificate(ca.certificate)
    key = certificate_renewal.load_pem_private_key(ca.key, password=None)
    listed = [x509.IPAddress(ip_address(one)) if one[0].isdigit() else x509.DNSName(one) for one in names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(root.subject)
        .public_key(asked.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=100))
        .add_extension(x509.SubjectAlternativeName(listed), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_the_own_ca_renews_at_once_under_the_same_names(files: CertificateFiles) -> None:
    before = (files.certificate.read_bytes(), files.key.read_bytes())
    assert certificate_problems(files.certificate, files.key, files.ca)
    said = renew(files, NOW)
    assert f"until {NOW + timedelta(days=730):%Y-%m-%d}" in said
    assert certificate_problems(files.certificate, files.key, files.ca) == []
    assert files.names == HOSTS
    assert files.key.stat().st_mode & 0o077 == 0
    old = [path.with_name(f"{path.name}.old") for path in (files.certificate, files.key)]
    assert tuple(path.read_bytes() for path in old) == before


def test_the_ca_is_found_among_several(files: CertificateFiles, own: Authority) -> None:
    files.ca.write_bytes(make_authority("another", NOW).certificate + own.certificate)
    renew(files, NOW)
    assert certificate_problems(files.certificate, files.key, files.ca) == []


def test_a_certificate_does_not_outlive_its_ca(files: CertificateFiles) -> None:
    said = renew(files, NOW + timedelta(days=3600))
    end = x509.load_pem_x509_certificate(files.ca.read_bytes()).not_valid_after_utc
    assert f"until {end:%Y-%m-%d}" in said or f"until {end - timedelta(days=1):%Y-%m-%d}" in said
    with pytest.raises(ConfigError, match="add it to its root_certificates first"):
        renew(files, NOW + timedelta(days=3651))


def test_another_ca_signs_a_request(files: CertificateFiles, own: Authority, tmp_path: Path) -> None:
    before = files.certificate.read_bytes()
    assert "consortium.example, localhost, 127.0.0.1" in ask(files)
    assert files.certificate.read_bytes() == before
    assert files.waiting.stat().st_mode & 0o077 == 0
    request = x509.load_pem_x509_csr(files.request.read_bytes())
    assert request.is_signature_valid
    assert certificate_names(request) == list(HOSTS)
    back = tmp_path / "back.pem"
    back.write_bytes(signed(files.request.read_bytes(), own))
    take(files, back, NOW)
    assert certificate_problems(files.certificate, files.key, files.ca) == []
    assert not files.waiting.exists()
    assert not files.request.exists()


def test_a_second_request_is_for_the_key_that_waits(files: CertificateFiles) -> None:
    ask(files)
    key = files.waiting.read_bytes()
    ask(files)
    assert files.waiting.read_bytes() == key


def test_an_exchange_that_was_interrupted_is_made_good(
    files: CertificateFiles, own: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(files)
    back = tmp_path / "back.pem"
    back.write_bytes(signed(files.request.read_bytes(), own))
    keep, kept = certificate_renewal._keep, []

    def breaks_off(path: Path) -> None:
        kept.append(path)
        if path == files.certificate:
            raise KeyboardInterrupt
        keep(path)

    monkeypatch.setattr(certificate_renewal, "_keep", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        take(files, back, NOW)
    assert kept == [files.key, files.certificate]
    monkeypatch.setattr(certificate_renewal, "_keep", keep)
    take(files, back, NOW)
    assert certificate_problems(files.certificate, files.key, files.ca) == []


@pytest.mark.parametrize(
    ("names", "stranger", "words"),
    [
        (HOSTS, True, "does not vouch"),
        (HOSTS[1:], False, "no subject alternative name consortium.example"),
    ],
)
def test_what_another_ca_got_wrong_is_not_taken(
    files: CertificateFiles, own: Authority, tmp_path: Path, names: tuple[str, ...], stranger: bool, words: str
) -> None:
    ask(files)
    back, before = tmp_path / "back.pem", files.certificate.read_bytes()
    ca = make_authority("another", NOW) if stranger else own
    back.write_bytes(signed(files.request.read_bytes(), ca, names=names))
    with pytest.raises(ConfigError, match=words):
        take(files, back, NOW)
    assert files.certificate.read_bytes() == before


def test_a_certificate_of_another_key_is_not_taken(files: CertificateFiles, own: Authority, tmp_path: Path) -> None:
    ask(files)
    back = tmp_path / "back.pem"
    back.write_bytes(make_server_certificate(own, HOSTS, NOW).certificate)
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        take(files, back, NOW)


def test_a_key_that_is_no_cas_is_named(files: CertificateFiles) -> None:
    with pytest.raises(ConfigError, match=r"server\.key is not the key of a certificate in"):
        renew(replace(files, ca_key=files.key), NOW)
    with pytest.raises(ConfigError, match="no PEM key without a password"):
        renew(replace(files, ca_key=files.ca), NOW)


def test_the_command_takes_one_way_at_a_time(tmp_path: Path) -> None:
    path = write_coordinator(tmp_path)
    both = ["certificate", str(path), "--ca-key", "ca.key", "--signed", "back.pem"]
    with pytest.raises(ConfigError, match="give the one that you have"):
        CliRunner().invoke(app, both, catch_exceptions=False)


def test_the_command_asks_where_no_ca_key_lies_beside(tmp_path: Path) -> None:
    path = write_coordinator(tmp_path)
    done = CliRunner().invoke(app, ["certificate", str(path)], catch_exceptions=False)
    assert "Have your CA sign it" in done.output
    assert (tmp_path / "tls/server.csr").exists()
