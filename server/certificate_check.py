"""Whether institutions will accept the coordinator's certificate, found out before one of them tries."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

_SOON = timedelta(days=21)


def certificate_problems(certificate: Path, key: Path, authority: Path) -> list[str]:
    """What keeps clients that trust an authority from connecting, one sentence each with its remedy."""
    if missing := [path for path in (certificate, key, authority) if not path.is_file()]:
        return [f"{path} does not exist; put the file there, or correct COORDINATOR.yaml" for path in missing]
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        x509.load_pem_x509_certificates(authority.read_bytes())
    except (OSError, ValueError, IndexError) as error:
        return [f"{certificate} or {authority} is no PEM certificate ({error}); ask the authority for it again"]
    return [*_dates(leaf, certificate), *_names(leaf, certificate)] or _handshake_problem(certificate, key, authority)


def expires_soon(certificate: Path) -> str | None:
    """A warning for a certificate that runs out within three weeks."""
    end = x509.load_pem_x509_certificates(certificate.read_bytes())[0].not_valid_after_utc
    return (
        f"{certificate} expires on {end:%Y-%m-%d}; renew it in time with 'python -m server certificate'"
        if end - datetime.now(UTC) < _SOON
        else None
    )


def _dates(leaf: x509.Certificate, path: Path) -> Iterator[str]:
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        ended = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M}"
        yield f"{path} expired on {ended} UTC; renew it with 'python -m server certificate'"
    if leaf.not_valid_before_utc > now:
        begins = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
        yield f"{path} is not valid before {begins} UTC and it is {now:%Y-%m-%d %H:%M}; set this machine's clock"


def _names(leaf: x509.Certificate, path: Path) -> Iterator[str]:
    if not certificate_names(leaf):
        yield (
            f"{path} has no subject alternative names, and clients look at nothing else; have the authority issue one "
            "with the host name that institutions connect to"
        )


def certificate_names(leaf: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """Host names and addresses for which a certificate is good, or asked for."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _handshake_problem(certificate: Path, key: Path, authority: Path) -> list[str]:
    """Shake hands in memory as a client does that trusts the authority only."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would make OpenSSL ask at the terminal.
        server.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        return [f"{key} is not the key of {certificate}, or is encrypted ({_reason(error)}); give the plain key of it"]
    except OSError as error:
        return [f"{key} cannot be read ({error.strerror}); give it to the user who runs the coordinator"]
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(authority)
    name = certificate_names(x509.load_pem_x509_certificates(certificate.read_bytes())[0])[0].replace("*", "any")
    try:
        _shake_hands(server, client, name)
    except ssl.SSLError as error:
        problem = (
            f"clients that trust {authority} refuse {certificate} ({_reason(error)}); give the certificate of the "
            "authority that issued it, or put the authorities between the two into the certificate's file"
        )
        return [problem]
    return []


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # Three flights each way are enough for TLS 1.2 and 1.3.
    for _ in range(4):
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


def _reason(error: Exception) -> str:
    found = getattr(error, "verify_message", None) or getattr(error, "reason", None) or str(error)
    return str(found).lower().replace("_", " ")
