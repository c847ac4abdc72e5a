"""A new certificate for the port that institutions reach, under the same names, from the own CA or another one.

With the consortium's CA key at hand it is made at once. Else a key is drawn and waits beside the present one with a
request that another CA signs. The former key and certificate are kept beside the new ones. A crash in between is made
good by running the same command again.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fedcredit.errors import ConfigError
from fedcredit.provisioning.certificates import (
    Authority,
    ServerCertificate,
    check_server_certificate,
    make_key,
    make_request,
    make_server_certificate,
)
from server.certificate_check import certificate_names
from server.coordinator_file import CoordinatorFile

SECRET, PUBLIC = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a coordinator's certificate, its key, the CA and the CA's key lie; the last need not exist."""

    certificate: Path
    key: Path
    ca: Path
    ca_key: Path

    @property
    def waiting(self) -> Path:
        """A key whose certificate another CA has still to sign."""
        return self.key.with_name(f"{self.key.name}.next")

    @property
    def request(self) -> Path:
        """What that CA is sent."""
        return self.certificate.with_suffix(".csr")

    @property
    def names(self) -> tuple[str, ...]:
        """Host names and addresses of the present certificate.

        Raises
        ------
        ConfigError
            If it is none, or has no names.
        """
        try:
            names = certificate_names(x509.load_pem_x509_certificates(self.certificate.read_bytes())[0])
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.certificate} cannot be read as a certificate; restore it from a backup."
            ) from error
        if not names:
            raise ConfigError(f"{self.certificate} names no host; ask its CA for one with the institutions' host name.")
        return tuple(names)


def files_of(file: CoordinatorFile, ca_key: Path | None) -> CertificateFiles:
    """Those that COORDINATOR.yaml names, and the CA's key: given, or beside the CA's certificate."""
    beside = file.ca.with_suffix(".key")
    return CertificateFiles(file.certificate, file.certificate_key, file.ca, beside if ca_key is None else ca_key)


def renew(files: CertificateFiles, now: datetime) -> str:
    """Make a key and a certificate by the own CA; what was done.

    Raises
    ------
    ConfigError
        If the key is not the CA's, or the CA has ended.
    """
    made = make_server_certificate(_authority(files), files.names, now)
    return _put(files, made.certificate, made.key)


def ask(files: CertificateFiles) -> str:
    """Draw a key, if none waits, and write the request for its certificate; what to do with it."""
    names = files.names
    if not files.waiting.exists():
        _replace(files.waiting, make_key(), SECRET)
    _replace(files.request, make_request(names, files.waiting.read_bytes()), PUBLIC)
    return (
        f"{files.request} asks for a certificate for {', '.join(names)}; its key waits in {files.waiting}. Have your "
        "CA sign it, and run this again with --signed and the file that the CA returns"
    )


def take(files: CertificateFiles, signed: Path, now: datetime) -> str:
    """Put the certificate that another CA has signed, and its key, in the place of the present ones; what was done.

    Raises
    ------
    ConfigError
        If it is not of the key that waits, not for all present names, out of date, or `ca` does not vouch for it.
    """
    certificate = signed.read_bytes()
    # A crash may have come after the key was exchanged.
    key = (files.waiting if files.waiting.exists() else files.key).read_bytes()
    for name in files.names:
        check_server_certificate(ServerCertificate(certificate, key, files.ca.read_bytes()), name, now)
    done = _put(files, certificate, key)
    files.waiting.unlink(missing_ok=True)
    files.request.unlink(missing_ok=True)
    return done


def _authority(files: CertificateFiles) -> Authority:
    """The CA of the key, which may be one of several in the CA file."""
    try:
        key = load_pem_private_key(files.ca_key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{files.ca_key} is no PEM key without a password; give the CA's key as such.") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for ca in x509.load_pem_x509_certificates(files.ca.read_bytes()):
        if ca.public_key().public_bytes(*form) == key.public_key().public_bytes(*form):
            return Authority(ca.public_bytes(Encoding.PEM), files.ca_key.read_bytes())
    raise ConfigError(f"{files.ca_key} is not the key of a certificate in {files.ca}; give the CA's own key.")


def _put(files: CertificateFiles, certificate: bytes, key: bytes) -> str:
    if key != files.key.read_bytes():
        _keep(files.key)
        _replace(files.key, key, SECRET)
    _keep(files.certificate)
    _replace(files.certificate, certificate, PUBLIC)
    end = x509.load_pem_x509_certificates(certificate)[0].not_valid_after_utc
    return (
        f"{files.certificate} holds until {end:%Y-%m-%d}, and the former files are beside it as .old; restart 'serve'. "
        "Institutions have nothing to do"
    )


def _keep(path: Path) -> None:
    """A second name for what is there; at no moment is there nothing."""
    old = path.with_name(f"{path.name}.old")
    old.unlink(missing_ok=True)
    os.link(path, old)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    partial.replace(path)
