"""Deliberate faults of the product, put into one process: what the checks must find, or they prove nothing."""

import os
from collections.abc import Callable
from dataclasses import replace

import fedcredit.cli.custodian
import fedcredit.custodian.agreements
import fedcredit.custodian.custodian
import fedcredit.custodian.open_jobs
import tests.crash.passages
from fedcredit.audit.trail import Trail
from fedcredit.job.store import JobStore, Outcome
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_counter import EventCounter
from fedcredit.privacy.ledger_file import Transaction
from fedcredit.wire.envelope import open_envelope


def unsynced() -> None:
    """Each transaction ends when the next one begins, and neither counter nor audit trail notices what is lost."""
    held: list[tuple[Transaction, tuple[object, ...]]] = []
    end, begin = Transaction.__exit__, Transaction.__enter__

    def late(transaction: Transaction, *error: object) -> None:
        held.append((transaction, error))

    def first_the_last(transaction: Transaction) -> None:
        while held:
            earlier, error = held.pop()
            end(earlier, *error)
        begin(transaction)

    Transaction.__exit__, Transaction.__enter__ = late, first_the_last
    EventCounter.raise_to = EventCounter.check = lambda *_: None
    Trail._require_same = lambda *_: None


def charged_elsewhere() -> None:
    """Another vector is charged than is sent."""
    original = fedcredit.custodian.custodian.digest
    fedcredit.custodian.custodian.digest = lambda domain, *parts: original(
        domain, *(os.urandom(8) if domain == "vector" else part for part in parts)
    )


def one_noise() -> None:
    """The same noise in every message."""
    original = fedcredit.cli.custodian.rounded_gaussian_noise
    kept = {}

    def same(role, variance, size, bits, context):
        return kept.setdefault(0, original(role, variance, 10_000, bits, b"always"))[:size]

    for module in (fedcredit.cli.custodian, fedcredit.custodian.custodian):
        module.rounded_gaussian_noise = same


def unmasked() -> None:
    """Vectors leave without masks; the sum of all is the same."""
    fedcredit.custodian.custodian._masked = lambda *given: given[-1]


def untold() -> None:
    """The audit trail's lines are left out."""
    Trail.record = lambda *_: None


def slow() -> None:
    """A contribution goes on for longer than a stop waits; no fault of the product."""
    tests.crash.passages.HELD_S = 6.0


def recomputed() -> None:
    """A message that is asked for again is made again, under a head that peers would show and nobody looks at."""
    original = Ledger.commit

    def commit(ledger, charge, seal):
        again = ledger._stored(charge.slot) is not None
        return seal(ledger.event_count + 1, bytes(32)) if again else original(ledger, charge, seal)

    Ledger.commit, Ledger.stored = commit, lambda *_: None
    fedcredit.custodian.open_jobs.guard_history = lambda *_, **__: None
    fedcredit.custodian.agreements.guard_own_heads = lambda *_: None


def resealed() -> None:
    """A message that is asked for again is signed again, over other bytes."""
    original = Ledger.stored

    def stored(ledger, slot):
        found = original(ledger, slot)
        if found is None:
            return None
        message = open_envelope(found.message).verify(ledger.public_key)
        other = replace(message, vector=bytes([message.vector[0] ^ 1]) + message.vector[1:])
        return replace(found, message=ledger._key.seal(open_envelope(found.message).sender, other))

    Ledger.stored = stored


def forgotten() -> None:
    """The coordinator keeps its first training round to itself."""
    original = JobStore.record

    def record(store, decided, packets):
        if (decided.phase, decided.round, decided.outcome) != ("train", 1, Outcome.DONE):
            original(store, decided, packets)

    JobStore.record = record


def unkept() -> None:
    """The coordinator keeps no answer before its step is decided."""
    JobStore.kept = lambda *_: {}


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        unsynced,
        charged_elsewhere,
        one_noise,
        unmasked,
        untold,
        slow,
        recomputed,
        resealed,
        forgotten,
        unkept,
    )
}
