"""Two data sets that differ in one unit, through the same custodian: what may differ, and by how much.

Before noise, the vectors differ by no more than the sensitivity that the ledger charges; everything else that leaves is
alike. The rows are the worst that a table can hold: missing cells, cells at the edges, one class only, hardly any row.
"""

import numpy as np
import pytest

from fedcredit.data.rows import Dataset, single
from fedcredit.errors import WireError
from fedcredit.plan import Placement, PrivacyTerms, PrivacyUnit
from fedcredit.wire.messages import Contribution, Refusal, Role
from tests import privacy_checks as checks
from tests import tiny

CAP = 3
PERSON = PrivacyTerms(
    placement=Placement.LOCAL, unit=PrivacyUnit.PERSON, max_records_per_person=CAP, epsilon=4.0, delta=1e-5, masks=True
)


class World:
    """One consortium with the model bytes of every phase."""

    def __init__(self, privacy=tiny.LOCAL):
        self.job = tiny.spec(privacy)
        self.consortium = tiny.federation(self.job)
        self.plan = self.consortium.plan
        self.models = checks.models(self.consortium, self.job)

    def custodian(self, data: Dataset, place: int):
        return checks.joined(self.consortium, self.job, data, place)

    def ready(self, data: Dataset, place: int, role: Role):
        return checks.ready(self.consortium, self.custodian(data, place), role, self.models)

    def exact(self, data: Dataset, role: Role, place: int):
        return checks.exact_sums(self.custodian(data, place), self.plan, role, self.models[role])

    def sensitivity_squared(self, data: Dataset, role: Role) -> int:
        return self.plan.phases.of(role).sensitivity_squared[data.kind]


@pytest.fixture(scope="module")
def records():
    return World()


@pytest.fixture(scope="module")
def persons():
    return World(PERSON)


def extreme_rows(kind: str, name: str):
    """Rows whose first `CAP` are equal, so that they can stand for one person at the cap."""
    sizes = np.array([feature.n_cells for feature in tiny.dictionary().owned_features(kind)])
    cells = {
        "missing": np.tile(sizes - 1, (40, 1)),
        "lowest": np.zeros((40, sizes.size)),
        "highest": np.tile(sizes - 2, (40, 1)),
        "mixed": tiny.rows(kind, 40, 5).cells,
        "hardly any": np.tile(sizes - 1, (CAP, 1)),
    }[name].astype(np.uint16)
    cells[:CAP] = cells[0]
    return cells


def extreme(kind: str, name: str, label: int) -> Dataset:
    cells = extreme_rows(kind, name)
    rows = single(cells, np.full(len(cells), label, dtype=np.uint8))
    return Dataset(kind, rows, rows, bytes(32))


EXTREMES = pytest.mark.parametrize(
    ("name", "label"),
    [("missing", 0), ("missing", 1), ("lowest", 1), ("highest", 0), ("mixed", 0), ("hardly any", 1)],
)
KINDS = pytest.mark.parametrize(("kind", "place"), [("bank", 0), ("hospital", 2)])
ROLES = pytest.mark.parametrize("role", list(Role))


@EXTREMES
@KINDS
@ROLES
def test_a_record_changes_no_more_than_what_is_charged(records, role, kind, place, name, label):
    data = extreme(kind, name, label)
    pair = records.exact(data, role, place), records.exact(checks.without(data, role, [0]), role, place)
    checks.check_neighbours(pair, records.sensitivity_squared(data, role))


@EXTREMES
@KINDS
@ROLES
def test_a_label_changes_no_more_than_what_is_stated(records, role, kind, place, name, label):
    """A label moves a record between two cells of a histogram: √2 in sensitivity, and once in training."""
    data, times = extreme(kind, name, label), 1 if role is Role.TRAIN else 2
    pair = records.exact(data, role, place), records.exact(checks.with_flipped(data, role, 0), role, place)
    checks.check_neighbours(pair, times * records.sensitivity_squared(data, role))


@KINDS
@ROLES
def test_a_person_at_the_cap_changes_no_more_than_what_is_charged(persons, role, kind, place):
    data = extreme(kind, "mixed", 1)
    everyone, less_one, less_all = (
        persons.exact(checks.without(data, role, range(records)), role, place) for records in (0, 1, CAP)
    )
    checks.check_neighbours((everyone, less_all), persons.sensitivity_squared(data, role))
    np.testing.assert_array_equal(everyone - less_all, CAP * (everyone - less_one))  # k times, not √k times


@EXTREMES
@KINDS
@ROLES
def test_neighbours_look_alike_from_outside(records, role, kind, place, name, label):
    data = extreme(kind, name, label)
    request = checks.round_request(records.consortium, role, records.models[role])
    replies = [
        checks.reply_to(records.consortium, records.ready(one, place, role), request)
        for one in (data, checks.without(data, role, [0]), checks.with_flipped(data, role, 0), emptied(data))
    ]
    for reply in replies[1:]:
        checks.check_same_outside(replies[0], reply)


def emptied(data: Dataset) -> Dataset:
    nobody = single(data.train.cells[:0], data.train.bad[:0])
    return Dataset(data.kind, nobody, nobody, bytes(32))


def hostile_models(model: bytes, number: int) -> list[bytes]:
    """Model bytes that no honest coordinator sends: cut, extended, and with bytes turned to extremes."""
    generator = np.random.default_rng(7)
    out = [model[:-1], model + b"\x00", model[: len(model) // 2], b"\xff" * len(model), b"\x00" * len(model)]
    for _ in range(number):
        damaged = bytearray(model)
        for place in generator.integers(0, len(model), generator.integers(1, 4)):
            damaged[place] = generator.choice([0x00, 0x01, 0x7F, 0x80, 0xFF, generator.integers(256)])
        out.append(bytes(damaged))
    return out


@pytest.mark.parametrize("role", [Role.TRAIN, Role.EVALUATE])
def test_a_hostile_model_gets_one_verdict_and_no_more_than_the_charge(records, role):
    """Whatever the model's bytes: refused for everybody, or answered for everybody within the sensitivity."""
    plan, accepted = records.plan, 0
    full = extreme("bank", "mixed", 1)
    custodians = [records.custodian(data, 0) for data in (full, checks.without(full, role, [0]), emptied(full))]
    for model in hostile_models(records.models[role], 150):
        outcomes = [_sums_or_none(custodian, plan, role, model) for custodian in custodians]
        assert len({outcome is None for outcome in outcomes}) == 1
        if outcomes[0] is not None:
            accepted += 1
            checks.check_neighbours((outcomes[0], outcomes[1]), records.sensitivity_squared(full, role))
    assert accepted > 0


def _sums_or_none(custodian, plan, role, model):
    try:
        return checks.exact_sums(custodian, plan, role, model)
    except WireError:
        return None


@pytest.mark.parametrize("role", [Role.TRAIN, Role.EVALUATE])
def test_a_hostile_model_is_refused_in_the_same_words_for_all(records, role):
    request = checks.round_request(records.consortium, role, records.models[role][:-1])
    data = extreme("bank", "mixed", 0)
    replies = [
        checks.ask(records.consortium, records.ready(one, 0, role), request)
        for one in (data, checks.without(data, role, [0]), emptied(data))
    ]
    assert {type(reply) for reply in replies} == {Refusal}
    assert len({(reply.code, reply.text) for reply in replies}) == 1


def test_an_institution_without_rows_contributes_like_any_other(records):
    nobody = records.custodian(emptied(extreme("bank", "mixed", 0)), 0)
    last = {Role.TRAIN: records.plan.phases.train.rounds}
    for role in Role:
        request = checks.round_request(records.consortium, role, records.models[role], round_=last.get(role, 1))
        sent = checks.ask(records.consortium, nobody, request)
        assert isinstance(sent, Contribution)
        assert np.any(np.frombuffer(sent.vector, dtype="<i8"))
