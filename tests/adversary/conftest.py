"""A bank and a hospital on disk, for attacks on what they tell each other."""

from tests.fedcredit.linked.conftest import base_job, cli, folder, offer, pair, released, table

__all__ = ["base_job", "cli", "folder", "offer", "pair", "released", "table"]
