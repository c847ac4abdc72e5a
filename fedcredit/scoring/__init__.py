"""Scoring with a released model: one decision or a table of them, with a peer's consented number where there is one."""
