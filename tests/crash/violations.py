"""What must hold after any kill, read from the files alone: ledgers, the job's store and the traces.

Every check yields a sentence per violation.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.audit.reading import check, lines_of
from fedcredit.audit.trail_file import trail_of
from fedcredit.errors import LedgerError
from fedcredit.job.progress import Progress
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.plan import Plan
from fedcredit.privacy.events import Slot, read_fraction
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_audit import audit
from fedcredit.privacy.ledger_counter import EventCounter, beside
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import Contribution, JoinReply, KeysReply, Message, Receipt, Refusal
from server.coordinator import Coordinator
from tests.crash.consortium import KINDS, Consortium, dictionary_of, plan_of
from tests.crash.coordinator_process import written

ROUNDS = 2
# Why a restarted custodian, or one of its peers, refuses until keys are agreed on again.
AFTER_A_RESTART = {"keys-missing", "keys-stale", "keys-own", "attempt"}


@dataclass(frozen=True)
class Done:
    """A job that is over: what its store says, and what the coordinator's trace does."""

    consortium: Consortium
    plan: Plan
    progress: Progress
    steps: list[list[object]]
    trace: list[dict[str, Any]]

    @property
    def model(self) -> bytes:
        return canonical_json(family_of(self.plan.model.family).release(self.progress.state))

    def got(self, institution: str) -> list[tuple[Message, bytes]]:
        """Every packet that the coordinator ever received from an institution."""
        public = self.consortium.key(institution).public
        packets = [bytes.fromhex(line["got"]["reply"]) for line in self.trace if _of(line, "got") == institution]
        return [(open_envelope(packet).verify(public), packet) for packet in packets]


def read_job(consortium: Consortium, job: Path) -> Done:
    plan = plan_of(job)
    key = SigningKey.load(consortium.folder / "coordinator.pem")
    with JobStore(job / "job.sqlite", plan.to_bytes()) as store:
        coordinator = Coordinator(plan.to_bytes(), dictionary_of(job), key, store)
        steps = [written(step) for step in store.steps()]
    return Done(consortium, plan, coordinator.progress, steps, lines(consortium.trace(job.name)))


def violations(done: Done) -> list[str]:
    """Everything that does not hold after a job."""
    found = [*_unfinished(done), *_asked_again(done)]
    for institution in KINDS:
        public = done.consortium.key(institution).public
        try:
            with Ledger.read(done.consortium.ledger(institution), public) as ledger:
                audit(ledger.rows(), public)
                checks = (_uncounted, _unpaid, _changed, _spent_wrongly, _vectors_twice, _computed_twice, _untold)
                found += [f"{institution}: {one}" for check in checks for one in check(done, institution, ledger)]
        except LedgerError as error:
            found.append(f"{institution}: {error}")
    return [*found, *_noise_twice(done)]


def _unfinished(done: Done) -> Iterator[str]:
    """The job came to its end, with everybody and all of its rounds."""
    if done.progress.next_phase != "done" or done.progress.members != tuple(KINDS):
        yield f"the job stands at {done.progress.next_phase} with {done.progress.members}"
    if done.progress.rounds_trained != ROUNDS or done.progress.evaluation is None:
        yield f"{done.progress.rounds_trained} of {ROUNDS} rounds, evaluation {done.progress.evaluation}"
    receipts = {name for name in KINDS for message, _ in done.got(name) if isinstance(message, Receipt)}
    if receipts != set(KINDS):
        yield f"receipts of {sorted(receipts)} only"


def _asked_again(done: Done) -> Iterator[str]:
    """A restarted coordinator goes on where its store ends: nothing decided or kept is lost, changed or asked again."""
    decided: list[list[object]] = []
    kept: list[tuple[object, str]] = []
    for line in done.trace:
        if line.get("at") == "after keep":
            step, names = line["kept"]
            kept += [(step, name) for name in names]
        if "asks" in line and (line["asks"]["step"], line["asks"]["institution"]) in kept:
            yield f"{line['asks']['institution']} had answered {line['asks']['step']} and was asked again"
        if "resumed" in line:
            if decided != line["resumed"][: len(decided)] or line["resumed"] != done.steps[: len(line["resumed"])]:
                yield f"a restart found {line['resumed']} after {decided}"
            decided = max(decided, line["resumed"], key=len)
        elif "decided" in line:
            decided = [*decided, line["decided"]]
        elif "asks" in line and line["asks"]["step"] in [step[:3] for step in decided]:
            yield f"{line['asks']['step']} was decided and asked again"


def _uncounted(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """The institution's own count is never ahead of its ledger, and one event behind at most."""
    counted = EventCounter(beside(done.consortium.ledger(institution))).read()
    if counted is None or not ledger.event_count - 1 <= counted <= ledger.event_count:
        yield f"the counter says {counted}, the ledger {ledger.event_count}"


def _unpaid(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """Nothing was received without an event that says just that."""
    for message, packet in done.got(institution):
        match message:
            case Contribution():
                yield from _uncharged(message, ledger)
            case Receipt():
                stored = ledger._receipt(done.plan.digest())
                if stored is None or stored.message != packet:
                    yield "a receipt was received that is not stored"
            case JoinReply():
                keys = {(event["key_epoch"], event["agreement_key"]) for event in _notes(done, ledger, "epoch")}
                if (message.key_epoch, message.agreement_key.hex()) not in keys:
                    yield f"a join with key epoch {message.key_epoch} was received and not noted"
            case KeysReply():
                if not _notes(done, ledger, "keys"):
                    yield "keys were agreed on and not noted"
            case Refusal(code=code) if code in AFTER_A_RESTART:
                continue
            case _:
                yield f"{message} was received"


def _uncharged(message: Contribution, ledger: LedgerReader) -> Iterator[str]:
    charges = {_slot(event): event["vector_hash"] for event in ledger.charges(message.plan_hash)}
    charged = charges.get((message.role.name.lower(), message.round, message.attempt))
    if charged != digest("vector", message.vector).hex():
        yield f"{message.role.name} {message.round} was received and not charged"
    if not ledger.has_been_at(message.event_count, message.event_hash):
        yield f"{message.role.name} {message.round} names an event that is not there"


def _changed(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """A message that is sent again has the stored bytes."""
    for message, packet in done.got(institution):
        if isinstance(message, Contribution):
            stored = ledger._stored(Slot(message.plan_hash, message.role, message.round, message.attempt))
            if stored is None or stored.message != packet:
                yield f"{message.role.name} {message.round} was sent in other bytes than the stored ones"


def _spent_wrongly(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """What was spent covers everything received, is within the reservation, and each attempt is charged once."""
    job, charges = ledger.job(done.plan.digest()), ledger.charges(done.plan.digest())
    if job is None or not job.closed:
        yield "the job is not closed"
        return
    received = {
        (message.role.name.lower(), message.round, message.attempt)
        for message, _ in done.got(institution)
        if isinstance(message, Contribution)
    }
    costs = {_slot(event): read_fraction(event["cost"]) for event in charges}
    if len(costs) < len(charges):
        yield "an attempt was charged twice"
    if not sum((costs.get(slot, Fraction(0)) for slot in received), Fraction(0)) <= job.spent <= job.reserved:
        yield f"spent {job.spent} of {job.reserved} for {len(received)} messages"
    again = {event["plan_hash"] for event in ledger.notes("close")}
    if len(again) < len(ledger.notes("close")):
        yield "a job was closed twice"


def _vectors_twice(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """No two messages of one institution, of whatever job, share a word: masks and noise are fresh in each."""
    if not done.plan.privacy.masks:
        return
    public = ledger.public_key
    sent = [open_envelope(packet).verify(public) for _, _, packet in ledger.sent()]
    vectors = [message.vector for message in sent if isinstance(message, Contribution)]
    words = np.concatenate([np.frombuffer(vector, dtype="<i8") for vector in vectors])
    if np.unique(words).size < words.size:
        yield "two of its vectors share a masked word"


def _computed_twice(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """What is charged is never computed again, before or after a restart."""
    kept: set[str] = set()
    for line in lines(done.consortium.trace(institution)):
        if line.get("at") == "before computation" and line["slot"] in kept:
            yield f"{line['slot'][65:]} was charged and computed again"
        if line.get("at") == "after commit":
            kept.add(line["slot"])
    slots = {_slot(event) for event in ledger.charges(done.plan.digest())}
    traced = {slot for slot in kept if slot.startswith(done.plan.digest().hex())}
    if len(traced) > len(slots):
        yield f"{len(traced)} commits returned and {len(slots)} charges are there"


def _untold(done: Done, institution: str, ledger: LedgerReader) -> Iterator[str]:
    """The audit trail holds, names every event of the ledger once, and has a line for all that was received."""
    path = trail_of(done.consortium.ledger(institution))
    check(path, ledger.public_key)
    trail = [line.values for line in lines_of(path)]
    told = [event["number"] for line in trail for event in line["ledger"]["new"]]
    # It begins when the custodian is first served; the ledger was opened before.
    if told != list(range(2, ledger.event_count + 1)):
        yield f"its trail names events {told} of {ledger.event_count}"
    replies = {line.get("reply_hash") for line in trail}
    for message, packet in done.got(institution):
        if not isinstance(message, Refusal) and digest("audit-reply", packet).hex() not in replies:
            yield f"a {type(message).__name__} was received that no line of its trail names"


def _noise_twice(done: Done) -> Iterator[str]:
    """No noise vector was drawn twice, by whatever process in the consortium's life, sent or not."""
    drawn = [line["noise"] for name in KINDS for line in lines(done.consortium.trace(name)) if "noise" in line]
    if done.consortium.private and not drawn:
        yield "no noise was traced"
    if repeated := [noise for noise, times in Counter(drawn).items() if times > 1]:
        yield f"{len(repeated)} noise vectors were drawn more than once"


def lines(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines()]


def _of(line: dict[str, Any], kind: str) -> str | None:
    return line[kind]["institution"] if kind in line else None


def _slot(event: dict[str, Any]) -> tuple[str, int, int]:
    return event["role"], event["round"], event["attempt"]


def _notes(done: Done, ledger: LedgerReader, kind: str) -> list[dict[str, Any]]:
    return [event for event in ledger.notes(kind) if event["plan_hash"] == done.plan.digest().hex()]
