"""A certificate for 127.0.0.1 that only this coordinator's own processes trust, made here and never shown outside.

The certificate for institutions names the host that they connect to, and not loopback. With one of its own, the
SuperLink's control paths are TLS without anything to configure. Its authority signs it once and is then thrown away.
"""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
_VALID = timedelta(days=3650)
_RENEW = timedelta(days=90)


class LoopbackTls:
    """Its files.

    Parameters
    ----------
    folder
        Private folder, made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.authority, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._usable():
            self._make()

    def _usable(self) -> bool:
        """Whether the files are there and not about to expire; the authority is written last."""
        if not self.authority.exists():
            return False
        return x509.load_pem_x509_certificate(self.authority.read_bytes()).not_valid_after_utc > _now() + _RENEW

    def _make(self) -> None:
        authority, own = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
        root = _name("this coordinator's own processes")
        key_id = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
        certificate = (
            _builder(_name("loopback"), root, own)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id),
                critical=False,
            )
        )
        anchor = (
            _builder(root, root, authority)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_SIGNS, critical=True)
            .add_extension(key_id, critical=False)
        )
        self.key.touch(mode=0o600)
        self.key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        for path, one in ((self.certificate, certificate), (self.authority, anchor)):
            path.write_bytes(one.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - timedelta(days=1))
        .not_valid_after(_now() + _VALID)
    )


def _now() -> datetime:
    return datetime.now(UTC)
