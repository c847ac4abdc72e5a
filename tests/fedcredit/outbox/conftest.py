"""The bank of the audit trail's tests: its site on disk, and its custodian as it is served."""

from tests.fedcredit.audit.conftest import bank, cli, folder, site

__all__ = ["bank", "cli", "folder", "site"]
