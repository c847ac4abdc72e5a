"""The players: honest custodians behind their bytes, a coordinator that obeys nobody, members that are its own.

The attacker holds the coordinator's identity key and those of the corrupt members. It speaks to honest custodians in
signed bytes only, and keeps everything that it ever received.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import Site
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_model import ScorecardModel
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, Plan, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.secure_aggregation.transcript import transcript_digest
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import (
    NO_TRANSCRIPT,
    Contribution,
    JoinReply,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Message,
    Refusal,
    Role,
    RoundRequest,
)
from simulations.federation import COORDINATOR, PURPOSE, Federation, Institution, JobSpec, found

# Preflight has 2 × 13 × 4096 words and evaluation 2 × 13 × (2 + 4096): enough to tell masked words from others.
_BLOCKS = ("applicant",) * 10 + ("bank",) * 2 + ("hospital",)
_HEAD = """
schema_version: 1
name: wide
title: A wide dictionary
source: made up
licence: none needed
blocks: [applicant, bank, hospital]
institution_types:
  bank: {owns: [applicant, bank], target: {name: bad, definition: made up}, id_column: id}
  hospital: {owns: [applicant, hospital], target: {name: bad, definition: made up}, id_column: id}
features:
"""
_FEATURE = (
    "  - {{name: f{number}, block: {block}, type: integer, unit: one, range: [0, 4094], grid: {{kind: integers}},"
    " data_class: private, purpose: test, basis: test, reason: f{number}}}\n"
)
TERMS = PrivacyTerms(placement=Placement.DISTRIBUTED, unit=PrivacyUnit.RECORD, epsilon=4.0, delta=1e-5, masks=True)
ROUNDS = 4
SPEC = ScorecardSpec(rounds=ROUNDS, max_bins=16)


@cache
def dictionary() -> DataDictionary:
    features = (_FEATURE.format(number=number, block=block) for number, block in enumerate(_BLOCKS))
    return parse_dictionary((_HEAD + "".join(features)).encode())


def _rows(kind: str, n: int, seed: int) -> Rows:
    generator = np.random.default_rng(seed)
    columns = len(dictionary().owned_features(kind))
    cells = np.minimum(generator.geometric(0.01, (n, columns)), 4095).astype(np.uint16)
    return single(cells, (generator.random(n) < 0.3).astype(np.uint8))


def _institution(name: str, seed: int) -> Institution:
    kind = name.split("-", maxsplit=1)[0]
    return Institution(
        name, kind, Dataset(kind, _rows(kind, 600, seed), _rows(kind, 300, seed + 99), bytes([seed]) * 32)
    )


@cache
def consortium(
    banks: int = 4,
    hospitals: int = 0,
    colluders: int = 1,
    placement: Placement = Placement.DISTRIBUTED,
    max_drops: int = 1,
    masks: bool = True,
) -> Federation:
    """A consortium and its plan; keys and calibration are shared by the tests, custodians are not."""
    names = [f"bank-{number}" for number in range(1, banks + 1)]
    names += [f"hospital-{number}" for number in range(1, hospitals + 1)]
    job = JobSpec(
        name="attacked",
        model=SPEC,
        privacy=TERMS.model_copy(
            update={"colluders": colluders, "placement": placement, "max_drops": max_drops, "masks": masks}
        ),
        shares=BudgetShares(preflight=6, train=60, evaluate=4),
        evaluation=EvaluationTerms(score_bins=13, groupings=("type", "f0")),
    )
    return found(dictionary(), tuple(_institution(name, seed) for seed, name in enumerate(names, 1)), job)


def custodian(federation: Federation, name: str, ledger: Ledger | None = None, **limits: object) -> Custodian:
    """A custodian with a policy of its own, operating-system noise and a ledger for several jobs."""
    one = next(one for one in federation.institutions if one.id == name)
    policy = Policy.model_validate(
        {
            "epsilon": 30.0,
            "delta": 1e-5,
            "max_epsilon_per_job": 8.0,
            "unit": "record",
            "placements": ("local", "distributed"),
            "purposes": (PURPOSE,),
            "max_drops": 2,
            **limits,
        }
    )
    key = federation.keys[name]
    account = Account(name, "record", GaussianAccountant.for_target(policy.epsilon, policy.delta))
    site = Site(
        institution=name,
        kind=one.kind,
        dictionary=federation.dictionary,
        data=one.data,
        key=key,
        roster=federation.plan.roster,
        coordinators={COORDINATOR: federation.coordinator_key.public},
        policy=policy,
    )
    return Custodian(site, ledger or Ledger.create(None, key, account))


def scorecard(weight: int = 0) -> bytes:
    """A training request's model: two bins per feature, the upper one with a weight."""
    plan = layout(SPEC.max_bins, dictionary())
    bins = tuple((np.arange(feature.n_cells) >= 100).astype(np.int64) for feature in dictionary().features)
    weights = np.zeros(plan.length, dtype=np.int64)
    weights[[slots.start + 1 for slots in plan.slots]] = weight
    return ScorecardModel(bins, weights).encode()


@dataclass(frozen=True)
class Packet:
    """One honest packet, and what its sender had been told."""

    sender: str
    plan: Plan
    request: RoundRequest
    joins: tuple[bytes, ...]
    message: Contribution


@dataclass
class View:
    """Everything that the attacker holds.

    Attributes
    ----------
    packets
        Every honest packet, in order of arrival; bytes that were received before are not kept twice.
    agreement_keys
        Private agreement keys by public key: the corrupt members', and whatever has leaked.
    """

    packets: list[Packet] = field(default_factory=list)
    agreement_keys: dict[bytes, X25519PrivateKey] = field(default_factory=dict)

    def learn(self, key: X25519PrivateKey) -> None:
        self.agreement_keys[key.public_key().public_bytes_raw()] = key

    def keep(self, packet: Packet) -> None:
        if packet.message not in [known.message for known in self.packets]:
            self.packets.append(packet)


@dataclass
class CorruptMember:
    """A member of the roster that is the coordinator's own: it signs whatever it likes with its identity key."""

    name: str
    identity: SigningKey
    agreement: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    def join(self, plan: Plan, **changes: object) -> bytes:
        """A signed join, with some fields changed."""
        true = JoinReply(
            plan_hash=plan.digest(),
            event_count=3,
            roster_version=plan.roster.version,
            roster_hash=plan.roster.digest(),
            agreement_key=self.agreement.public_key().public_bytes_raw(),
            key_epoch=1,
            nonce=bytes(32),
            event_hash=bytes(32),
            head_signature=sign_head(self.identity, self.name, 3, bytes(32)),
        )
        return self.identity.seal(self.name, replace(true, **changes))


class Attacker:
    """The coordinator and its members, against honest custodians."""

    def __init__(self, federation: Federation, corrupt: Iterable[str] = (), **limits: object) -> None:
        self.federation, self.plan, self.key = federation, federation.plan, federation.coordinator_key
        self.corrupt = {name: CorruptMember(name, federation.keys[name]) for name in corrupt}
        self.honest = {
            name: custodian(federation, name, **limits) for name in self.plan.members if name not in self.corrupt
        }
        self.view = View()
        for member in self.corrupt.values():
            self.view.learn(member.agreement)
        self.joins: dict[tuple[bytes, str], bytes] = {}
        self.shown: dict[tuple[bytes, str], tuple[bytes, ...]] = {}
        self.said: dict[bytes, dict[str, bytes]] = {}

    def send(self, name: str, message: Message, key: SigningKey | None = None, sender: str = COORDINATOR) -> Message:
        """One signed envelope to an honest custodian, and its answer with the signature checked.

        A request for a sum carries what others have signed of its joins, if nothing else was put there.
        """
        if isinstance(message, RoundRequest) and not message.witnesses:
            message = replace(message, witnesses=self.witnesses(message.plan_hash, message.transcript_hash))
        reply = open_envelope(self.honest[name].handle((key or self.key).seal(sender, message)))
        assert reply.sender == name
        return reply.verify(self.federation.keys[name].public)

    def join(self, plan: Plan | None = None, names: Iterable[str] | None = None) -> dict[str, Message]:
        """Ask members to join a plan and keep their signed joins; corrupt ones join by themselves."""
        plan = plan or self.plan
        replies = {}
        for name in names or self.honest:
            packet = self.honest[name].handle(self.key.seal(COORDINATOR, JoinRequest(plan.to_bytes())))
            replies[name] = open_envelope(packet).verify(self.federation.keys[name].public)
            if isinstance(replies[name], JoinReply):
                self.joins[plan.digest(), name] = packet
        for name, member in self.corrupt.items():
            self.joins[plan.digest(), name] = member.join(plan)
        return replies

    def listed(self, plan: Plan | None = None, **instead: bytes) -> tuple[bytes, ...]:
        """Everybody's join in roster order, some of them replaced (``bank_1=…``)."""
        plan = plan or self.plan
        others = {name.replace("_", "-"): join for name, join in instead.items()}
        known = {name: self.joins.get((plan.digest(), name)) for name in plan.members} | others
        return tuple(join for name in plan.members if (join := known[name]) is not None)

    def show(self, name: str, joins: tuple[bytes, ...], plan: Plan | None = None) -> Message:
        """Show one honest member a list of joins."""
        plan_hash = (plan or self.plan).digest()
        reply = self.send(name, KeysRequest(plan_hash, joins))
        if isinstance(reply, KeysReply):
            self.shown[plan_hash, name] = joins
            self.said.setdefault(reply.transcript_hash, {})[name] = self.federation.keys[name].seal(name, reply)
        return reply

    def witnesses(self, plan_hash: bytes, transcript_hash: bytes) -> tuple[bytes, ...]:
        """Who signed a transcript: honest members that were shown it, and whoever is the attacker's."""
        bought = KeysReply(plan_hash, transcript_hash)
        said = {name: member.identity.seal(name, bought) for name, member in self.corrupt.items()}
        return tuple({**said, **self.said.get(transcript_hash, {})}.values())

    def agree(self, plan: Plan | None = None, names: Iterable[str] | None = None, **instead: bytes) -> None:
        """Show the same joins to everybody; nobody may refuse."""
        for name in names or self.honest:
            reply = self.show(name, self.listed(plan, **instead), plan)
            assert not isinstance(reply, Refusal), reply

    def start(self) -> "Attacker":
        """Join and agree as an honest coordinator would."""
        self.join()
        self.agree()
        return self

    def request(self, role: Role = Role.PREFLIGHT, **changes: object) -> RoundRequest:
        """The request of an honest coordinator, with some fields changed."""
        true = RoundRequest(self.plan.digest(), role, 1, 1, self.plan.members, b"", NO_TRANSCRIPT)
        return replace(true, **changes)

    def ask(self, name: str, role: Role = Role.PREFLIGHT, plan: Plan | None = None, **changes: object) -> Message:
        """Ask one member for a contribution under the joins that it was shown, and keep what comes back."""
        plan = plan or self.plan
        joins = self.shown.get((plan.digest(), name), ())
        digest = transcript_digest(plan.digest(), joins) if joins else NO_TRANSCRIPT
        asked = self.request(
            role, **{"plan_hash": plan.digest(), "members": plan.members, "transcript_hash": digest, **changes}
        )
        reply = self.send(name, asked)
        if isinstance(reply, Contribution):
            self.view.keep(Packet(name, plan, asked, joins, reply))
        return reply

    def ask_all(self, role: Role = Role.PREFLIGHT, **changes: object) -> Mapping[str, Message]:
        """Ask every honest member of the attempt; nobody may refuse."""
        members = changes.get("members", self.plan.members)
        replies = {name: self.ask(name, role, **changes) for name in self.honest if name in members}
        assert all(isinstance(reply, Contribution) for reply in replies.values()), replies
        return replies

    def restart(self, name: str, **changes: object) -> None:
        """The operator starts a custodian anew on its ledger, perhaps with another site."""
        old = self.honest[name]
        self.honest[name] = Custodian(replace(old._site, **changes), old.ledger)

    def charged(self, name: str, plan: Plan | None = None) -> int:
        """Number of messages that a custodian's ledger has paid for."""
        return len(self.honest[name].ledger.charges((plan or self.plan).digest()))

    def refused(self, caplog, name: str, code: str, reply: Message, charged: int = 0) -> None:
        """The answer is a refusal with that code, the institution's log says so, and nothing was charged for it."""
        assert isinstance(reply, Refusal), reply
        assert reply.code == code, reply.text
        assert f"{name} refused a request ({code})" in caplog.text
        assert self.charged(name) == charged
        self.honest[name].ledger.verify()
