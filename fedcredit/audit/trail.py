"""The audit trail that a custodian keeps beside its ledger: every request, decision, charge and release.

The order is: the ledger commits, the line is on the disk, the bytes leave. Each line lists the ledger's events since
the line before, so a crash between the first two leaves an event that the next start names (``recovered``), and one
between the last two leaves bytes that the ledger sends again. A line that cannot be written is kept, its reply is
withheld, and nothing is answered or charged until it is on the disk.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

from fedcredit import __version__
from fedcredit.audit.allowance import Allowance, Tally
from fedcredit.audit.ledger_events import events_since
from fedcredit.audit.lines import BEFORE_FIRST, Line, key_change, names_next, read_lines, require_signed, write_line
from fedcredit.audit.requests import described
from fedcredit.audit.trail_file import TrailFile, damaged, set_aside
from fedcredit.errors import LedgerError, RefusalError
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey

_LOG = logging.getLogger(__name__)
# Requests that are answered with stored bytes when they are asked for again.
_STORED = frozenset({"join_request", "round_request", "release_request"})
_COUNTED = ("kind", "sender", "proved", "decision", "code")
_FINGERPRINT_DIGITS = 16


class Recorder(Protocol):
    """What a custodian tells of each request."""

    def require_writable(self) -> None:
        """Refuse, with code ``audit``, while an earlier line is not on the disk, and after the last one."""
        ...

    def record(self, request: bytes, reply: bytes, code: str | None, proved: Callable[[bytes], bool]) -> None:
        """Write down a request and its reply before the reply leaves."""
        ...

    def stopped(self) -> None:
        """Write down that the custodian ends."""
        ...


class NoTrail:
    """Keeps nothing: for a custodian that was not built from a site's files, as in simulations."""

    def require_writable(self) -> None:
        """Nothing is written."""

    def record(self, request: bytes, reply: bytes, code: str | None, proved: Callable[[bytes], bool]) -> None:
        """Nothing is written."""

    def stopped(self) -> None:
        """Nothing is written."""


class Trail:
    """An open trail.

    Parameters
    ----------
    file
        Where the lines go.
    key
        The institution's identity key, which signs them.
    ledger
        Whose events the lines name.
    now
        The clock, in UTC, of the lines.
    clock
        Monotonic seconds, for the allowance of free requests.
    """

    def __init__(
        self,
        file: TrailFile,
        key: SigningKey,
        ledger: LedgerReader,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._key, self._ledger, self._now = file, key, ledger, now
        self._allowance, self._tally = Allowance(clock), Tally()
        self._unwritten: list[dict[str, Any]] = []
        self._ended = False
        self._link, self._known, self._head = BEFORE_FIRST, ledger.event_count, ledger.head_hash.hex()

    @classmethod
    def start(
        cls, path: Path, key: SigningKey, ledger: LedgerReader, fingerprint: bytes, now: Callable[[], datetime]
    ) -> Self:
        """Open a site's trail, or begin it, and write down that the custodian starts.

        Raises
        ------
        LedgerError
            If the trail does not hold, shows that the ledger is an older copy, or cannot be written.
        """
        trail = cls(TrailFile(path), key, ledger, now)
        trail._go_on()
        begun = {"version": __version__, "data_fingerprint": fingerprint.hex()[:_FINGERPRINT_DIGITS]}
        begun["public_key"] = key.public.hex()
        try:
            trail._write({"event": "start", **begun}, [])
        except RefusalError as error:
            raise _unwritable(path) from error
        return trail

    @classmethod
    def change_key(
        cls, path: Path, old: SigningKey, new: SigningKey, ledger: LedgerReader, now: Callable[[], datetime]
    ) -> None:
        """Write down, signed by the old key, that the new one signs the lines after; done already, it changes nothing.

        Raises
        ------
        LedgerError
            If the trail does not hold, shows that the ledger is an older copy, or cannot be written.
        """
        trail = cls(TrailFile(path), old, ledger, now)
        last = trail._last()
        if last is not None and names_next(last, new.public):
            return
        trail._go_on()
        try:
            trail._write(key_change(old.public, new, trail._link), [])
        except RefusalError as error:
            raise _unwritable(path) from error

    def require_writable(self) -> None:
        """Write what an earlier request could not.

        Raises
        ------
        RefusalError
            With code ``audit`` if it still cannot be written, or has ended; nothing is done meanwhile.
        """
        if self._ended:
            # It waited behind the last one; by now another custodian may hold the ledger, and write the trail.
            raise RefusalError("audit", "this custodian has stopped, and its audit trail has ended; ask the next one.")
        try:
            self._flush()
        except RefusalError:
            self._tally.add({"event": "refused while the trail could not be written"})
            raise

    def record(self, request: bytes, reply: bytes, code: str | None, proved: Callable[[bytes], bool]) -> None:
        """Write down a request and its reply; only then may the reply leave.

        Parameters
        ----------
        code
            Why it was refused; None if it was answered.
        proved
            Whether a request is signed by whom it names.

        Raises
        ------
        RefusalError
            With code ``audit`` if the line cannot be written.
        """
        new = self._new_events()
        values = {**described(request), "proved": proved(request)}
        values |= {"decision": _decision(values["kind"], code, new), "code": code}
        if not new and not self._allowance.take():
            self._tally.add({name: values[name] for name in _COUNTED})
            return
        self._write({"event": "request", **values, "reply_hash": digest("audit-reply", reply).hex()}, new)

    def stopped(self) -> None:
        """Write down that the custodian ends, as far as the disk allows; no line follows."""
        self._ended = True
        try:
            self._write({"event": "stop"}, self._new_events())
        except RefusalError:
            _LOG.exception("the audit trail could not be ended")

    def _go_on(self) -> None:
        """Go on after the last line that is on the disk, with what has happened since."""
        torn, last = self._file.cut_torn(), self._last()
        if last is not None:
            known = last.values["ledger"]
            self._require_same(known)
            self._link, self._known, self._head = last.link, known["events"], known["head"]
        if torn:
            self._write({"event": "torn", "bytes": torn}, [])
        if new := self._new_events():
            self._write({"event": "recovered"}, new)

    def _require_same(self, known: dict[str, Any]) -> None:
        """The ledger holds the event that the trail saw last, or an operator has charged for its loss."""
        if not self._ledger.has_been_at(known["events"], bytes.fromhex(known["head"])):
            raise LedgerError(
                f"audit trail {self._file.path} knows event {known['events']} of a ledger, which this one does not "
                "hold: it is an older copy. Restore its newest copy, or run 'fedcredit ledger recover' and move the "
                "trail away."
            )

    def _last(self) -> Line | None:
        """The newest line, after a check of the file that holds it."""
        what, data, earlier = self._file.path, self._file.read(), set_aside(self._file.path)
        if not data and earlier:
            # A crash between setting a full file aside and the first line of the next.
            what, data = earlier[-1], earlier[-1].read_bytes()
        try:
            lines = list(read_lines(data, str(what)))
            # The chain makes the last signature one over every line. A change of key names the key that goes on.
            changed = bool(lines) and names_next(lines[-1], self._key.public)
            signers = self._ledger.keys if changed else (self._key.public,)
            require_signed(lines[-1:], signers, str(what))
        except LedgerError as error:
            raise damaged(error) from error
        return lines[-1] if lines else None

    def _new_events(self) -> list[dict[str, Any]]:
        """What the ledger has written since the last line; it is in no line yet."""
        try:
            new = events_since(self._ledger, self._known)
        except LedgerError:
            # It was the ledger that failed; the next line that can read it lists its events.
            _LOG.exception("the ledger could not be read for the audit trail")
            return []
        if new:
            self._known, self._head = new[-1]["number"], new[-1]["hash"]
        return new

    def _write(self, values: dict[str, Any], new: list[dict[str, Any]]) -> None:
        if self._tally:
            self._waits({"event": "counted", "requests": self._tally.read()}, [])
            self._tally.clear()
        self._waits(values, new)
        try:
            self._flush()
        except RefusalError:
            self._unwritten[-1]["withheld"] = True
            raise

    def _waits(self, values: dict[str, Any], new: list[dict[str, Any]]) -> None:
        ledger = {"events": self._known, "head": self._head, "new": new}
        self._unwritten.append({"at": self._now().isoformat(), **values, "ledger": ledger})

    def _flush(self) -> None:
        """Write every line that waits, in order."""
        try:
            while self._unwritten:
                if self._file.full:
                    self._file.turn()
                line, link = write_line(self._key, self._unwritten[0], self._link)
                self._file.append(line)
                self._link = link
                self._unwritten.pop(0)
        except OSError as error:
            _LOG.error("audit trail %s cannot be written (%s); check its disk.", self._file.path, error.strerror)
            raise RefusalError(
                "audit", "this site's audit trail cannot be written; its operator finds the cause in its log."
            ) from error


def _unwritable(path: Path) -> LedgerError:
    return LedgerError(f"audit trail {path} cannot be written; check the disk's space, owner and mode.")


def _decision(kind: str, code: str | None, new: list[dict[str, Any]]) -> str:
    if code is not None:
        return "failed" if code == "internal" else "refused"
    return "resent" if kind in _STORED and not new else "answered"
