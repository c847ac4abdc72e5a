"""Decisions that wait for a person: read from the decision log by the rule, never written there."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.review.review_file import ReviewRule
from fedcredit.scoring.decisions import CHAIN, TABLE, Decision
from fedcredit.scoring.row_chain import End

_COLUMNS = "decision_id, at, package_hash, subject_hash, pd, points, reasons, flags, verdict, cut_off"


def why_waiting(decision: Decision, rule: ReviewRule) -> tuple[str, ...]:
    """Why a person has to look at a decision, one phrase each; empty if the machine's stands."""
    out = []
    if decision.cut_off is not None and abs(decision.points - decision.cut_off) <= rule.band_points:
        distance = decision.points - decision.cut_off
        out.append(f"{abs(distance)} points {'below' if distance < 0 else 'above'} the cut-off")
    flagged = [flag for flag in decision.flags if flag.partition(":")[0] in rule.flags]
    if flagged:
        out.append(f"flagged input: {', '.join(flagged)}")
    return tuple(out)


def waiting(path: Path, rule: ReviewRule) -> Iterator[Decision]:
    """Every decision that the rule sends to a person, oldest first.

    Raises
    ------
    ConfigError
        If the decision log cannot be read.
    """
    where = ["cut_off IS NOT NULL AND abs(points - cut_off) <= ?", *("flags LIKE ?" for _ in rule.flags)]
    # What the pattern lets through too much, such as a flag's text inside another's, the rule itself sorts out.
    values = (rule.band_points, *(f'%"{kind}%' for kind in rule.flags))
    with _open(path) as connection:
        query = f"SELECT {_COLUMNS} FROM {TABLE} WHERE {' OR '.join(where)} ORDER BY at, decision_id"  # noqa: S608
        for row in connection.execute(query, values):
            decision = _decision(row)
            if why_waiting(decision, rule):
                yield decision


def decision_of(path: Path, decision_id: str) -> Decision:
    """One decision; its row is checked against the one before it.

    Raises
    ------
    ConfigError
        If the log has none of that id, or cannot be read.
    LedgerError
        If the row was changed.
    """
    with _open(path) as connection:
        query = f"SELECT seq, {_COLUMNS} FROM {TABLE} WHERE decision_id = ?"  # noqa: S608  (constants)
        row = connection.execute(query, (decision_id,)).fetchone()
        if row is not None:
            try:
                CHAIN.require_row(connection, row[0])
            except ConfigError as error:
                raise LedgerError(f"decision log {path}: {error}; nobody decides on it.") from error
    if row is None:
        raise ConfigError(f"decision log {path} has no decision {decision_id!r}; 'fedcredit review list' shows some.")
    return _decision(row[1:])


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A decision log of which every row holds.

    Attributes
    ----------
    found
        Those of the asked hashes that are a row's.
    """

    end: End
    found: frozenset[str]


def verified_decisions(path: Path, heads: Iterable[str]) -> VerifiedLog:
    """Check every row of a decision log.

    Parameters
    ----------
    heads
        Hashes that somebody wrote down.

    Raises
    ------
    LedgerError
        At the first row that does not hold.
    ConfigError
        If the log cannot be read.
    """
    with _open(path) as connection:
        try:
            end = CHAIN.verified(connection)
        except ConfigError as error:
            raise LedgerError(f"decision log {path}: {error}.") from error
        return VerifiedLog(end, frozenset(head for head in heads if CHAIN.holds(connection, head)))


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise ConfigError(f"decision log {path} does not exist; name the one that scoring writes.")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=30)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise ConfigError(f"decision log {path} cannot be read ({error}); name the one that scoring writes.") from error


def _decision(row: tuple[object, ...]) -> Decision:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    reasons, flags = json.loads(str(values["reasons"])), json.loads(str(values["flags"]))
    return Decision(**{**values, "reasons": tuple(reasons), "flags": tuple(flags)})  # type: ignore[arg-type]
