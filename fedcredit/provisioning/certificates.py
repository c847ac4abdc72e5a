"""The coordinator's certificates: a small CA of the consortium's own, a request to another one, or given ones, checked.

Flower 1.41 knows no client certificates: a node proves itself with its node key. So the CA vouches for the SuperLink
alone, and institutions keep its certificate as ``root_certificates``.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedcredit.errors import ConfigError

CA_DAYS = 3650
SERVER_DAYS = 730
# Machines whose clocks differ a little shall not find a certificate of the future.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """PEM bytes of a server's certificate chain, its key, and the CA that vouches for it."""

    certificate: bytes
    key: bytes
    ca: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA: its certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def make_authority(name: str, now: datetime) -> Authority:
    """Make a CA that may sign servers and nothing below them."""
    key = ec.generate_private_key(ec.SECP384R1())
    builder = _builder(_name(f"{name} CA"), _name(f"{name} CA"), key.public_key(), now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return Authority(_pem(builder.sign(key, hashes.SHA384())), _key_pem(key))


def make_server_certificate(
    authority: Authority, hosts: tuple[str, ...], now: datetime, days: int = SERVER_DAYS
) -> ServerCertificate:
    """Make a server's key and certificate.

    Parameters
    ----------
    hosts
        Names and addresses under which the server is reached; all of them become subject alternative names.
    days
        For how long it shall hold; not beyond the end of the CA's own.

    Raises
    ------
    ConfigError
        If the CA's key is of another kind, or its certificate has ended.
    """
    ca = x509.load_pem_x509_certificate(authority.certificate)
    ca_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ConfigError("the CA's key is no elliptic-curve key; give a certificate of your own CA instead.")
    days = min(days, (ca.not_valid_after_utc - now).days)
    if days < 1:
        raise ConfigError(
            f"the CA's certificate ends on {ca.not_valid_after_utc:%Y-%m-%d}; make another CA, and have every "
            "institution add it to its root_certificates first."
        )
    key = _server_key()
    builder = _builder(_name(hosts[0]), ca.subject, key.public_key(), now, days)
    names = x509.SubjectAlternativeName([alternative_name(host) for host in hosts])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(names, critical=False).add_extension(issuer, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return ServerCertificate(_pem(builder.sign(ca_key, hashes.SHA384())), _key_pem(key), authority.certificate)


def make_key() -> bytes:
    """Draw a server's key, as PEM."""
    return _key_pem(_server_key())


def _server_key() -> ec.EllipticCurvePrivateKey:
    """Draw a key that signs every handshake, of whoever asks: on P-384 each costs the server three times as much."""
    return ec.generate_private_key(ec.SECP256R1())


def make_request(hosts: tuple[str, ...], key: bytes) -> bytes:
    """Ask another CA for a certificate of a key for all these names and addresses; PEM."""
    private = serialization.load_pem_private_key(key, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ConfigError("the key that waits is no elliptic-curve key; remove it, and ask again.")
    names = x509.SubjectAlternativeName([alternative_name(host) for host in hosts])
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(hosts[0]))
    request = builder.add_extension(names, critical=False).sign(private, hashes.SHA384())
    return request.public_bytes(serialization.Encoding.PEM)


def check_server_certificate(given: ServerCertificate, host: str, now: datetime) -> None:
    """Refuse given files with which no institution could connect.

    Raises
    ------
    ConfigError
        If one is no PEM of its kind, the key is another's, the certificate is out of date or for other names, or the
        CA does not vouch for it.
    """
    chain, roots = certificates_of(given.certificate, "the certificate"), certificates_of(given.ca, "the CA file")
    check_key(chain[0], given.key)
    _check_dates([*chain, *roots], now)
    if alternative_name(host) not in _names_of(chain[0]) and not _matches_wildcard(chain[0], host):
        stated = ", ".join(str(name.value) for name in _names_of(chain[0])) or "no name at all"
        raise ConfigError(
            f"the certificate has no subject alternative name {host} (it has {stated}); have one made for that name."
        )
    _check_chain(chain, roots)


def alternative_name(host: str) -> x509.DNSName | x509.IPAddress:
    """A host as certificates write it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def certificates_of(pem: bytes, what: str) -> list[x509.Certificate]:
    """Read a chain, or several authorities.

    Raises
    ------
    ConfigError
        If there is no certificate in it.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{what} holds no certificate in PEM; give the file that its CA sent, as PEM.") from error


def check_key(certificate: x509.Certificate, pem: bytes) -> None:
    """Refuse a private key that is none, or not the certificate's.

    Raises
    ------
    ConfigError
        As said.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError("the certificate's key is no PEM key without a password; give it as such.") from error
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ConfigError("the key is not the certificate's; give the key with which the certificate was requested.")


def _check_dates(certificates: list[x509.Certificate], now: datetime) -> None:
    for one in certificates:
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            raise ConfigError(
                f"the certificate of {one.subject.rfc4514_string()} is valid from {one.not_valid_before_utc:%Y-%m-%d} "
                f"to {one.not_valid_after_utc:%Y-%m-%d}; have it renewed, or set this machine's clock."
            )


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _matches_wildcard(certificate: x509.Certificate, host: str) -> bool:
    first, dot, rest = host.partition(".")
    return bool(first and dot) and x509.DNSName(f"*.{rest}") in _names_of(certificate)


def _check_chain(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> None:
    """Each certificate is signed by the next one, and the last by a root."""
    for number, one in enumerate(chain):
        issuers = [*chain[number + 1 : number + 2], *roots]
        if one not in roots and not any(_issued(one, issuer) for issuer in issuers):
            raise ConfigError(
                f"the CA file does not vouch for {one.subject.rfc4514_string()}, which "
                f"{one.issuer.rfc4514_string()} issued; give that CA's certificate, and the chain in between."
            )
        if one in roots or any(_issued(one, root) for root in roots):
            return


def _issued(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _BACKDATED)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    # The longest common name that X.509 allows.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
