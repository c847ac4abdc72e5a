"""Federated credit scorecards under record-level differential privacy: what an institution installs and trusts."""

__version__ = "0.1.0"
