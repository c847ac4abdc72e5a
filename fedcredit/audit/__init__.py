"""The audit trail: what a custodian was asked, what it decided, and what that cost, line by line."""
