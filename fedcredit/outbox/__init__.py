"""The outbox: every message that left an institution, read from its own ledger and audit trail, and what it says."""
