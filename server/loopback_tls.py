"""A certificate for 127.0.0.1 that only this coordinator's own processes trust, made here and never shown outside.

The certificate for institutions names the host that they connect to, and not loopback. With one of its own, the
SuperLink's control paths are TLS without anything to configure. Its authority signs it once and is then thrown away.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from fedcredit.provisioning.certificates import CA_DAYS, make_authority, make_server_certificate

HOST = "127.0.0.1"
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
        end = x509.load_pem_x509_certificate(self.authority.read_bytes()).not_valid_after_utc
        return end > datetime.now(UTC) + _RENEW

    def _make(self) -> None:
        now = datetime.now(UTC)
        authority = make_authority("this coordinator's own processes", now)
        made = make_server_certificate(authority, (HOST,), now, CA_DAYS)
        self.key.touch(mode=0o600)
        self.key.write_bytes(made.key)
        self.certificate.write_bytes(made.certificate)
        self.authority.write_bytes(made.ca)
