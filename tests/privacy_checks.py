"""Checks of the privacy promise that several tests share, and the plain tools that they need.

`tests/fedcredit/custodian/test_mutants.py` proves that each check fails on code that breaks the promise.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian.custodian import Custodian
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement, Plan
from fedcredit.privacy.bits import OsBitSource
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.privacy.statement import mechanism
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import (
    NO_TRANSCRIPT,
    Contribution,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Message,
    Refusal,
    Role,
    RoundRequest,
)
from simulations.federation import Federation, custodian_of
from tests import tiny

# Chance of a false alarm per check, and of a missed wrong scale.
ACCEPT, REJECT = 1e-9, 1e-20
Noise = NDArray[np.float64]
# Honest peers' signed joins, by plan: they join once, whoever restarts beside them.
_PEERS_JOINS: dict[bytes, dict[str, bytes]] = {}
# What all members say of each other's ledgers, by transcript.
_WITNESSES: dict[bytes, tuple[bytes, ...]] = {}


def ask(consortium: Federation, custodian: Custodian, message: Message, key=None, sender="coordinator") -> Message:
    """A custodian's answer to one message, its signature checked."""
    asked = (key or consortium.coordinator_key).seal(sender, addressed(custodian, message))
    reply = open_envelope(custodian.handle(asked))
    assert reply.sender == custodian.institution
    return reply.verify(consortium.keys[custodian.institution].public)


def changed(plan: Plan, **changes) -> Plan:
    """The plan with other fields."""
    return Plan.model_validate({**plan.model_dump(), **changes})


def refused(message: Message, code: str) -> None:
    """The answer is a refusal with that code."""
    assert isinstance(message, Refusal), message
    assert message.code == code, message.text


def restarted(bank: Custodian, **changes) -> Custodian:
    """The same ledger under a site that has changed meanwhile."""
    return Custodian(replace(bank._site, **changes), bank.ledger)


def joined(consortium: Federation, job, data: Dataset | None = None, place: int = 0) -> Custodian:
    """A custodian of one institution, or of other rows in its stead, that has joined the job and knows its peers."""
    one = consortium.institutions[place]
    custodian = custodian_of(consortium, replace(one, data=data) if data is not None else one, job, None)
    ask(consortium, custodian, JoinRequest(consortium.plan.to_bytes()))
    agree(consortium, job, custodian)
    return custodian


def agree(consortium: Federation, job, custodian: Custodian) -> tuple[bytes, ...]:
    """Let a custodian that has joined agree on keys with honest peers; everybody's signed joins."""
    plan = consortium.plan
    if not plan.privacy.masks:
        return ()
    request = consortium.coordinator_key.seal("coordinator", JoinRequest(plan.to_bytes()))
    if plan.digest() not in _PEERS_JOINS:
        peers = [custodian_of(consortium, one, job, None) for one in consortium.institutions]
        _PEERS_JOINS[plan.digest()] = {peer.institution: peer.handle(request) for peer in peers}
    signed = {**_PEERS_JOINS[plan.digest()], custodian.institution: custodian.handle(request)}
    joins = tuple(signed[name] for name in plan.members)
    reply = ask(consortium, custodian, KeysRequest(plan.digest(), joins))
    assert isinstance(reply, KeysReply), reply
    _WITNESSES[reply.transcript_hash] = witnesses(consortium, reply)
    return joins


def witnesses(consortium: Federation, reply: KeysReply, heads: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Everybody's word on a transcript, with the ledger heads that they know."""
    said = replace(reply, heads=tuple(heads))
    return tuple(consortium.keys[name].seal(name, said) for name in consortium.plan.members)


def addressed(custodian: Custodian, message: Message) -> Message:
    """A round's request that names the keys which the custodian agreed on."""
    pairs = pairs_of(custodian, message.plan_hash) if isinstance(message, RoundRequest) else None
    if pairs is None:
        return message
    digest = pairs.transcript.digest
    return replace(message, transcript_hash=digest, witnesses=_WITNESSES.get(digest, ()))


def pairs_of(custodian: Custodian, plan_hash: bytes) -> PairSecrets | None:
    """What the custodian shares with its peers; None before they have agreed."""
    secrets = custodian._agreements._secrets.get(plan_hash)
    return None if secrets is None else secrets.pairs


def unmasked(custodian: Custodian, plan: Plan, sent: Contribution) -> NDArray[np.int64]:
    """The vector of a message over all members, without the masks that its peers would cancel."""
    vector = np.frombuffer(sent.vector, dtype="<i8").astype(np.int64)
    pairs = pairs_of(custodian, sent.plan_hash)
    if pairs is None:
        return vector
    place = MaskPlace(plan.job, sent.plan_hash, sent.role, sent.round, sent.attempt, sent.roster_hash, sent.model_hash)
    return vector - pairs.mask(place, plan.members, vector.size).apply(np.zeros_like(vector))


def ready(consortium: Federation, custodian: Custodian, role: Role, model_of: dict[Role, bytes]) -> Custodian:
    """The custodian, training over if it is to evaluate."""
    if role is Role.EVALUATE:
        last = round_request(consortium, Role.TRAIN, model_of[Role.TRAIN], round_=consortium.plan.phases.train.rounds)
        assert isinstance(ask(consortium, custodian, last), Contribution)
    return custodian


def reply_to(consortium: Federation, custodian: Custodian, request: RoundRequest) -> bytes:
    """The exact bytes that leave."""
    return custodian.handle(consortium.coordinator_key.seal("coordinator", addressed(custodian, request)))


def models(consortium: Federation, job) -> dict[Role, bytes]:
    """Model bytes as an honest coordinator sends them, per role."""
    driver, members = tiny.coordinator(consortium), tiny.custodians(consortium, job)
    sent = {}
    for role in Role:
        tiny.run(driver, members, until=role.name.lower())
        request = open_envelope(next(iter(driver.next_step().requests.values())))
        sent[role] = request.verify(consortium.coordinator_key.public).model
    return sent


def round_request(consortium: Federation, role: Role, model: bytes, attempt: int = 1, round_: int = 1) -> RoundRequest:
    """A request over all members; `ask` fills in whose keys mask the sum."""
    return RoundRequest(consortium.plan.digest(), role, round_, attempt, consortium.plan.members, model, NO_TRANSCRIPT)


def exact_sums(custodian: Custodian, plan: Plan, role: Role, model: bytes) -> NDArray[np.int64]:
    """What the custodian's own code would send if it added no noise."""
    custodian_module.rehearse(custodian._site, plan, role, model)
    return custodian_module.contribute(custodian._site, plan, role, model, OsBitSource(), b"")


def noise_of(custodian: Custodian, plan: Plan, model: bytes, sent: Contribution) -> Noise:
    """Noise in a message that left, in planned standard deviations, where its institution owes any."""
    kind = custodian._site.kind
    noise = unmasked(custodian, plan, sent) - exact_sums(custodian, plan, sent.role, model)
    if plan.privacy.placement is not Placement.DISTRIBUTED:
        noise = noise[owned_coordinates(plan, custodian._site.dictionary, sent.role, kind)]
    return noise / own_noise_variance(plan, kind, sent.role, len(plan.members)) ** 0.5


def scale_p(noise: Noise, scale: float) -> float:
    """Kolmogorov-Smirnov p-value of noise against a Gaussian of that many planned standard deviations."""
    return float(stats.kstest(noise / scale, "norm").pvalue)


def check_noise_scale(noise: Noise) -> None:
    """The noise is the planned Gaussian, and there is enough of it to tell 0.7 or 1.3 of it apart."""
    assert scale_p(noise, 1.0) > ACCEPT
    assert scale_p(noise, 0.7) < REJECT
    assert scale_p(noise, 1.3) < REJECT


def check_independent(noises: Sequence[Noise]) -> None:
    """No two vectors carry the same noise, nor its negative, in part or whole."""
    for index, left in enumerate(noises):
        for right in noises[:index]:
            length = min(left.size, right.size)
            assert stats.pearsonr(left[:length], right[:length]).pvalue > ACCEPT


def check_charged(ledger: Ledger, plan: Plan, kind: str, sent: Sequence[Contribution]) -> None:
    """The ledger holds exactly the messages that left, each at its own cost and with its own bytes."""
    charged = {event["vector_hash"]: event for event in ledger.charges(plan.digest())}
    assert len(ledger.charges(plan.digest())) == len(sent)
    for message in sent:
        event = charged[digest("vector", message.vector).hex()]
        cost = ledger.account.accountant.cost(mechanism(plan, kind, message.role))
        assert cost > 0
        assert event["cost"] == f"{cost.numerator}/{cost.denominator}"
        assert (event["role"], event["round"]) == (message.role.name.lower(), message.round)
    ledger.verify()


def check_neighbours(pair: tuple[NDArray[np.int64], NDArray[np.int64]], squared: int) -> None:
    """Two pre-noise vectors have one length and lie within the sensitivity that was charged."""
    left, right = pair
    assert left.shape == right.shape
    assert sum(int(value) ** 2 for value in left - right) <= squared


def check_same_outside(left: bytes, right: bytes) -> None:
    """Two replies look alike to whoever cannot read the numbers: kind and size of every part."""
    first, second = open_envelope(left), open_envelope(right)
    assert (first.kind, len(left), len(first.payload)) == (second.kind, len(right), len(second.payload))


def without(data: Dataset, role: Role, records: Sequence[int]) -> Dataset:
    """The same data less some records of the rows that a role reads."""
    return _with_rows(data, role, lambda rows: _taken(rows, np.delete(np.arange(rows.n_rows), records)))


def with_flipped(data: Dataset, role: Role, record: int) -> Dataset:
    """The same data with one label turned round."""

    def flip(rows: Rows) -> Rows:
        bad = rows.bad.copy()
        bad[record] ^= 1
        return single(rows.cells, bad)

    return _with_rows(data, role, flip)


def _with_rows(data: Dataset, role: Role, change) -> Dataset:
    changed = {"evaluate" if role is Role.EVALUATE else "train"}
    rows = {name: change(getattr(data, name)) for name in changed}
    mark = b"".join(part.cells.tobytes() + part.bad.tobytes() for part in rows.values())
    return replace(data, **rows, fingerprint=hashlib.sha256(data.fingerprint + mark).digest())


def _taken(rows: Rows, kept: NDArray[np.int64]) -> Rows:
    return single(rows.cells[kept], rows.bad[kept])
