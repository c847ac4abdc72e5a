"""The way to the coordinator: the one port, through the proxy if there is one, TLS, and the two machines' clocks.

Flower's node authentication signs the time, and a SuperLink takes a time from 5 s ahead of its own to 305 s behind.
"""

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cryptography import x509

from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile
from fedcredit.provisioning.checks import Row, Verdict, checked, skipped

MOST_AHEAD_S, MOST_BEHIND_S = 5.0, 305.0
_TIMEOUT_S = 10.0
_SOON = timedelta(days=30)
# OpenSSL's codes, which the ssl module does not name.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


@dataclass(frozen=True, slots=True)
class _Way:
    """Where to connect; `proxy` is the URL of the only way out, or None."""

    host: str
    port: int
    proxy: str | None

    def __str__(self) -> str:
        through = "" if self.proxy is None else f" through {_shown(self.proxy)}"
        return f"{self.host}:{self.port}{through}"

    def connect(self) -> socket.socket:
        """A connection to the SuperLink's port."""
        if self.proxy is None:
            return socket.create_connection((self.host, self.port), timeout=_TIMEOUT_S)
        parts = urlsplit(self.proxy)
        tunnel = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        tunnel.set_tunnel(self.host, self.port, headers=_credentials(parts.username, parts.password))
        tunnel.connect()
        return tunnel.sock


@dataclass(frozen=True, slots=True)
class _Answer:
    """What ``/health`` said: status, the server's time if it gave one, and this machine's time meanwhile."""

    status: int
    date: datetime | None
    now: datetime


def connection_rows(node: NodeFile, clock: Callable[[], datetime]) -> list[Row]:
    """Rows of network, TLS, coordinator and clock; each is skipped where the one before it failed.

    Parameters
    ----------
    clock
        This machine's time, in UTC.
    """
    host, _, port = node.superlink.rpartition(":")
    way = _Way(host.strip("[]"), int(port), node.proxy)
    network = _network_row(way)
    if network.verdict is not Verdict.OK:
        return [network, *(skipped(name, "there is no connection") for name in ("TLS", "coordinator", "clock"))]
    answers: list[_Answer] = []
    tls = checked("TLS", lambda: _look_at_tls(way, node.root_certificates, clock, answers))
    if tls.verdict is not Verdict.OK:
        return [network, tls, *(skipped(name, "TLS failed") for name in ("coordinator", "clock"))]
    return [network, tls, *_answer_rows(way, answers)]


def _network_row(way: _Way) -> Row:
    try:
        way.connect().close()
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "allow it in the firewall, and ask the coordinator's operator whether it is up"
        if way.proxy is not None:
            remedy = f"have the proxy allow CONNECT to {way.host}:{way.port}, or correct proxy in NODE.yaml"
        return Row("network", Verdict.FAILED, f"{way} cannot be reached ({reason}); {remedy}.")
    return Row("network", Verdict.OK, f"{way} can be reached")


def _look_at_tls(way: _Way, roots: Path, clock: Callable[[], datetime], answers: list[_Answer]) -> str:
    context = _context(roots)
    with closing(way.connect()) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=way.host) as connection:
                certificate = _certificate(connection)
                answers += _health(connection, way, clock)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(_refused(error, way, roots)) from error
        except ssl.SSLError as error:
            raise ConfigError(
                f"{way} does not speak TLS as expected ({error.reason}); ask the coordinator's operator for its port."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConfigError(f"{way} broke the connection off ({error}); a firewall may inspect it.") from error
    left = certificate.not_valid_after_utc - clock()
    soon = f", {left.days} days: the operator should renew it" if left < _SOON else ""
    return (
        f"issued by {_common_name(certificate.issuer)} for {way.host}, valid to "
        f"{certificate.not_valid_after_utc:%Y-%m-%d}{soon}"
    )


def _context(roots: Path) -> ssl.SSLContext:
    if not roots.is_file():
        raise ConfigError(f"root_certificates {roots} does not exist; it is ca.pem of the invitation.")
    try:
        return ssl.create_default_context(cafile=str(roots))
    except ssl.SSLError as error:
        raise ConfigError(
            f"root_certificates {roots} holds no certificate in PEM; take ca.pem of the invitation."
        ) from error


def _health(connection: ssl.SSLSocket, way: _Way, clock: Callable[[], datetime]) -> list[_Answer]:
    client = http.client.HTTPConnection(way.host, way.port, timeout=_TIMEOUT_S)
    client.sock = connection
    before = clock()
    client.request("GET", "/health", headers={"Connection": "close"})
    response = client.getresponse()
    meanwhile = before + (clock() - before) / 2
    return [_Answer(response.status, _date(response.getheader("Date")), meanwhile)]


def _date(header: str | None) -> datetime | None:
    try:
        # The header counts whole seconds that have begun.
        return parsedate_to_datetime(header or "").replace(tzinfo=UTC) + timedelta(seconds=0.5)
    except (ValueError, TypeError):
        return None


def _answer_rows(way: _Way, answers: list[_Answer]) -> list[Row]:
    (answer,) = answers
    if answer.status != http.HTTPStatus.OK:
        text = (
            f"{way} answers /health with status {answer.status}; ask its operator whether it is the coordinator's port."
        )
        return [Row("coordinator", Verdict.FAILED, text), _clock_row(answer)]
    return [Row("coordinator", Verdict.OK, "answers /health"), _clock_row(answer)]


def _clock_row(answer: _Answer) -> Row:
    if answer.date is None:
        return skipped("clock", "the coordinator did not say what time it has")
    ahead = (answer.now - answer.date).total_seconds()
    said = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
    if -MOST_BEHIND_S <= ahead <= MOST_AHEAD_S:
        return Row("clock", Verdict.OK, said)
    limit = f"{MOST_AHEAD_S:.0f} s ahead" if ahead > 0 else f"{MOST_BEHIND_S:.0f} s behind"
    return Row(
        "clock",
        Verdict.FAILED,
        f"this machine's clock is {said}, and Flower takes {limit} at most; set it by NTP (timedatectl set-ntp true), "
        "or ask the operator to.",
    )


def _refused(error: ssl.SSLCertVerificationError, way: _Way, roots: Path) -> str:
    shown = _shown_certificate(way)
    valid = f"{shown.not_valid_before_utc:%Y-%m-%d %H:%M} to {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if error.verify_code == _EXPIRED:
        return f"the certificate of {way} was valid from {valid}; ask its operator to renew it, or set this clock."
    if error.verify_code == _NOT_YET_VALID:
        return f"the certificate of {way} is valid from {valid}; set this machine's clock by NTP."
    if error.verify_code in {_OTHER_NAME, _OTHER_ADDRESS}:
        return (
            f"the certificate of {way} is not for {way.host} but for {_names(shown)}; correct superlink in NODE.yaml, "
            "or ask the operator for a certificate with that name."
        )
    return (
        f"the certificate of {way} was issued by {_common_name(shown.issuer)!r}, for whom {roots} does not vouch. If "
        "that is your own proxy that inspects TLS, add its CA's certificate to that file; if not, do not connect, and "
        "compare ca.pem with the operator's."
    )


def _shown_certificate(way: _Way) -> x509.Certificate:
    """The certificate that is shown there; nothing is sent on this connection, so nothing of it is trusted."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with closing(way.connect()) as plain, context.wrap_socket(plain, server_hostname=way.host) as connection:
        return _certificate(connection)


def _certificate(connection: ssl.SSLSocket) -> x509.Certificate:
    return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no name at all"
    return ", ".join(str(name.value) for name in names)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    text = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(text).decode('ascii')}"}


def _shown(proxy: str) -> str:
    """The proxy without its password."""
    parts = urlsplit(proxy)
    return f"proxy {parts.hostname}:{parts.port}"
