"""One-hot contributions through the real coordinator, real joins and real masks, over any schedule.

Each institution contributes a unit vector of its own. Replies are lost, late, doubled, delivered under another's name;
institutions fall silent, crash after they have answered, or lose their keys and join again. Whatever happens, a
completed attempt's sum has exactly one 1 for each of its members, and 0 elsewhere.
"""

from dataclasses import replace
from functools import cache, lru_cache
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.errors import JobError, RefusalError
from fedcredit.job.store import Decided, JobStore, Outcome
from fedcredit.models.scorecard_family import ScorecardFamily
from fedcredit.plan import Plan, parse_plan
from fedcredit.secure_aggregation import masks
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets
from fedcredit.secure_aggregation.transcript import read_transcript
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import SigningKey, envelope_hash, open_envelope
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import (
    Contribution,
    JoinReply,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Message,
    Refusal,
    RoundRequest,
)
from server import coordinator as coordinator_module
from server.coordinator import Coordinator
from simulations.federation import Federation, found
from tests import tiny

NAMES = ("bank-3", "bank-1", "bank-10", "bank-2", "bank-4")  # not sorted: rosters need not be
ACTIONS = (*("answer",) * 14, "silent", "silent", "lost", "late", "swapped", "restart", "crash", "shrug")
SCHEDULES = 2_000


@cache
def consortium() -> Federation:
    job = tiny.with_privacy(tiny.spec(tiny.NONE), masks=True, max_attempts=6, max_drops=2)
    banks = tuple(tiny.institution(name, "bank", 40, seed) for seed, name in enumerate(NAMES))
    return found(tiny.dictionary(), banks, job)


class OneHot:
    """A member with an institution's keys, its outbox and no rows."""

    def __init__(self, name: str, plan: Plan, identity: SigningKey) -> None:
        self.name, self.plan, self.identity = name, plan, identity
        self.epoch, self.outbox = 0, {}
        self.restart()

    def restart(self) -> None:
        self.agreement, self.join, self.pairs = None, b"", None

    def anew(self) -> "OneHot":
        """The same member, with the keys that it has agreed on, before the first round."""
        other = OneHot(self.name, self.plan, self.identity)
        other.epoch, other.agreement, other.join, other.pairs = self.epoch, self.agreement, self.join, self.pairs
        return other

    def handle(self, request: bytes) -> bytes:
        try:
            return self._answer(asked(request, self.plan.coordinator_key))
        except RefusalError as error:
            return self._seal(Refusal(envelope_hash(request), error.code, str(error)))

    def _answer(self, message: Message) -> bytes:
        match message:
            case JoinRequest():
                return self._joined()
            case KeysRequest():
                return self._agreed(message)
            case RoundRequest():
                slot = (message.role, message.round, message.attempt)
                if slot not in self.outbox:
                    self.outbox[slot] = self._seal(self._contribution(message))
                return self.outbox[slot]
            case _:
                raise RefusalError("kind", "the property ends with the first sum.")

    def _joined(self) -> bytes:
        if self.agreement is None:
            self.epoch += 1
            self.agreement = AgreementKey()
            roster, public = self.plan.roster, self.agreement.public
            terms = (self.plan.digest(), self.epoch, roster.version, roster.digest(), public, self.epoch, bytes(32))
            self.join = self._seal(JoinReply(*terms, bytes(32), self._head(self.epoch)))
        return self.join

    def _agreed(self, request: KeysRequest) -> bytes:
        if self.agreement is None:
            raise RefusalError("keys-missing", "restarted; send the join again.")
        transcript = read_transcript(request.plan_hash, self.plan.roster, self.name, self.join, request.joins)
        self.pairs = PairSecrets(self.agreement, self.name, transcript)
        return self._seal(KeysReply(request.plan_hash, transcript.digest))

    def _contribution(self, asked: RoundRequest) -> Contribution:
        if self.pairs is None:
            raise RefusalError("keys-missing", "restarted; send the join again.")
        if self.pairs.transcript.digest != asked.transcript_hash:
            raise RefusalError("keys-stale", "other keys; send them again.")
        roster, model = self.plan.roster.attempt_digest(asked.members), digest("model", asked.model)
        place = MaskPlace(self.plan.job, asked.plan_hash, asked.role, asked.round, asked.attempt, roster, model)
        vector = unit(self.name, self.plan)
        masked = self.pairs.mask(place, asked.members, vector.size).apply(vector)
        sent = (asked.plan_hash, asked.role, asked.round, asked.attempt, roster, model, masked.astype("<i8").tobytes())
        return Contribution(*sent, len(self.outbox) + 1, bytes(32), self._head(len(self.outbox) + 1))

    def _head(self, event_count: int) -> bytes:
        return sign_head(self.identity, self.name, event_count, bytes(32))

    def _seal(self, message: Message) -> bytes:
        return self.identity.seal(self.name, message)


@lru_cache(maxsize=16)
def asked(request: bytes, coordinator_key: str) -> Message:
    """A request, read once for all whom it is sent to."""
    return open_envelope(request).verify(bytes.fromhex(coordinator_key))


def unit(name: str, plan: Plan) -> np.ndarray:
    """The member's own unit vector, at a coordinate that its type owns."""
    vector = np.zeros(plan.phases.preflight.vector_length, dtype=np.int64)
    vector[NAMES.index(name)] = 1
    return vector


class Network:
    """What becomes of each request and reply, drawn from a schedule."""

    def __init__(self, members: dict[str, OneHot], schedule: list[str], order: Random) -> None:
        self.members, self.schedule, self.order = members, schedule, order
        self.earlier: dict[str, bytes] = {}

    def deliver(self, requests: dict[str, bytes]) -> dict[str, bytes]:
        names = list(requests)
        self.order.shuffle(names)
        replies = {}
        for name in names:
            reply = self._one(self.members[name], requests[name], self.schedule.pop() if self.schedule else "answer")
            if reply is not None:
                replies[name] = reply
        return replies

    def _one(self, member: OneHot, request: bytes, action: str) -> bytes | None:
        if action == "silent":  # the request is lost
            return None
        if action == "restart":
            member.restart()
        reply = member.handle(request)
        earlier, self.earlier[member.name] = self.earlier.get(member.name, reply), reply
        if action == "crash":
            member.restart()
        match action:
            case "lost" | "crash":
                return None
            case "late":  # a packet of an earlier step comes instead, perhaps of a dead attempt
                return earlier
            case "swapped":
                return self.earlier[self.order.choice(sorted(self.earlier))]
            case "shrug":
                return member.identity.seal(member.name, Refusal(bytes(32), "attempt", "no such bytes here."))
            case _:
                return reply


@cache
def agreed() -> tuple[dict[str, OneHot], tuple[tuple[Decided, list[tuple[str, bytes]]], ...]]:
    """Members that have agreed on keys, and the coordinator's steps up to there: where all schedules begin."""
    one = consortium()
    members = {name: OneHot(name, one.plan, one.keys[name]) for name in NAMES}
    steps = []
    with JobStore(None, one.plan.to_bytes()) as store:
        driver = Coordinator(one.plan.to_bytes(), one.dictionary, one.coordinator_key, store)
        while (step := driver.next_step()).phase != "preflight":
            replies = {name: members[name].handle(request) for name, request in step.requests.items()}
            driver.receive(replies)
            steps.append((store.steps()[-1], list(replies.items())))
    return members, tuple(steps)


def run(schedule: list[str], seed: int) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Contributors and sum of the first completed attempt; None if too few were left for one."""
    one, (members, steps) = consortium(), agreed()
    network = Network({name: member.anew() for name, member in members.items()}, schedule, Random(seed))
    completed = []

    def decided(step, _) -> None:
        if step.phase == "preflight" and step.outcome is Outcome.DONE:
            completed.append((step.members, step.sums))

    with JobStore(None, one.plan.to_bytes()) as store:
        for step, packets in steps:
            store.record(step, packets)
        coordinator = Coordinator(
            one.plan.to_bytes(), one.dictionary, one.coordinator_key, store, quorum=3, on_decided=decided
        )
        while not completed:
            try:
                coordinator.receive(network.deliver(dict(coordinator.next_step().requests)))
            except JobError as error:
                if "out of range" in str(error):  # masks that do not cancel
                    raise
                return None
    return completed[0]


@pytest.fixture(scope="module", autouse=True)
def no_more_than_the_sum():
    """Each coordinator reads the same plan anew, and starts a model from the sum: neither matters here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinator_module, "parse_plan", cache(parse_plan))
        patch.setattr(ScorecardFamily, "init", lambda *_: None)
        yield


@settings(max_examples=SCHEDULES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedule=st.binary(min_size=10, max_size=32), seed=st.integers(0, 2**32))
def test_a_sum_holds_each_contributor_once(schedule, seed):
    done = run([ACTIONS[byte % len(ACTIONS)] for byte in schedule], seed)
    if done is not None:
        contributors, total = done
        expected = sum(unit(name, consortium().plan) for name in contributors)
        assert len(contributors) >= 3
        assert np.array_equal(total, expected)


def test_the_schedules_reach_every_case():
    """Random schedules end with everybody, with fewer, and with nobody; some after a second attempt."""
    order = Random(1)
    ends = [run(order.choices(ACTIONS, k=30), seed) for seed in range(60)]
    sizes = {len(end[0]) if end is not None else 0 for end in ends}
    assert sizes == {0, 3, 4, 5}


@pytest.mark.parametrize("field", ["roster_hash", "attempt"])
def test_a_mask_that_is_bound_to_too_little_still_sums(monkeypatch, field):
    """What the property does not show: cancelling is one thing, hiding another. That is what the attacks are for."""
    neutral = {"roster_hash": b"", "attempt": 0}
    bound = masks.pair_info
    monkeypatch.setattr(
        masks, "pair_info", lambda place, *pair: bound(replace(place, **{field: neutral[field]}), *pair)
    )
    assert run([], 0) is not None


def test_a_member_that_masks_for_others_is_noticed(monkeypatch):
    """The property can fail: masks for the plan's roster in place of the attempt's do not cancel."""
    honest = PairSecrets.mask
    monkeypatch.setattr(
        PairSecrets, "mask", lambda pairs, place, _, length: honest(pairs, place, consortium().plan.members, length)
    )
    assert run([], 0) is not None
    with pytest.raises(JobError, match="out of range"):
        # The first asked is silent twice, and left out of the second attempt.
        run(["silent", *["answer"] * 4, "silent"], 0)
