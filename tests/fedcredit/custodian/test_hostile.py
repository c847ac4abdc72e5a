"""Attacks on the custodian that were tried: by coordinators, by operators in a hurry, by broken software."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.custodian import contribute as contribute_module
from fedcredit.custodian.guard import _guard_numbers as guard_numbers
from fedcredit.data.rows import Dataset, single
from fedcredit.errors import RefusalError, WireError
from fedcredit.evaluation.phase import ScoredModel
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.plan import MAX_PLAN_BYTES, MAX_VECTOR_LENGTH, PrivacyUnit, parse_plan
from fedcredit.wire.canonical import canonical_json, length_prefixed, parse_json
from fedcredit.wire.envelope import SigningKey, open_envelope, verify_signature
from fedcredit.wire.messages import (
    MAX_MESSAGE_BYTES,
    NO_TRANSCRIPT,
    Contribution,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
)
from simulations.federation import custodian_of
from tests import privacy_checks as checks
from tests import tiny
from tests.privacy_checks import ask, changed, refused, restarted, round_request

BUDGET_SENTENCE = "the privacy ledger cannot pay for this job; ask for a smaller epsilon or fewer rounds."


# Models on which some records fail and others do not.


class FailsOn:
    """A family at fault: it raises where `condition` holds for a row."""

    def __init__(self, condition):
        self._sound, self._condition = family_of("scorecard"), condition

    def contribute(self, spec, dictionary, kind, model, rows):
        if np.any(self._condition(rows.cells)):
            raise IndexError("a value of a record")
        return self._sound.contribute(spec, dictionary, kind, model, rows)


def faulty(monkeypatch, condition):
    monkeypatch.setattr(contribute_module, "family_of", lambda *_: FailsOn(condition))


def with_and_without(consortium, cell_of_age, cell_of_status):
    """Two data sets of which one has a single record in both cells."""
    base = tiny.rows("bank", 60, 4)
    cells = np.minimum(base.cells, 2)
    single_record = cells.copy()
    single_record[7, :2] = cell_of_age, cell_of_status
    for chosen in (single_record, cells):
        rows = single(chosen, base.bad)
        yield checks.joined(consortium, tiny.spec(), Dataset("bank", rows, rows, bytes(32)))


def test_a_model_that_fails_on_one_cell_is_refused_to_everybody(consortium, monkeypatch):
    model = checks.models(consortium, tiny.spec())[Role.TRAIN]
    custodians = list(with_and_without(consortium, 5, 3))
    faulty(monkeypatch, lambda cells: cells[:, 0] == 5)
    replies = [ask(consortium, one, round_request(consortium, Role.TRAIN, model)) for one in custodians]
    assert {(type(reply), reply.code) for reply in replies} == {(Refusal, "internal")}
    assert all(not one.ledger.charges(consortium.plan.digest()) for one in custodians)
    assert all("record" not in reply.text for reply in replies)


def test_a_fault_on_the_rows_is_one_bit_and_no_more(consortium, monkeypatch, preflight):
    """Two cells together, which no public row has: the custodian says so once, then nothing until a restart."""
    model = checks.models(consortium, tiny.spec())[Role.TRAIN]
    struck, spared = with_and_without(consortium, 5, 0)
    faulty(monkeypatch, lambda cells: (cells[:, 0] == 5) & (cells[:, 1] == 0))
    request = round_request(consortium, Role.TRAIN, model)
    assert isinstance(ask(consortium, spared, request), Contribution)
    refused(ask(consortium, struck, request), "internal")
    for after in (request, preflight, IdentifyRequest(bytes(32)), JoinRequest(consortium.plan.to_bytes())):
        refused(ask(consortium, struck, after), "stopped")
    assert not struck.ledger.charges(consortium.plan.digest())
    afresh = restarted(struck)
    ask(consortium, afresh, JoinRequest(consortium.plan.to_bytes()))
    checks.agree(consortium, tiny.spec(), afresh)
    assert isinstance(ask(consortium, afresh, preflight), Contribution)


def test_with_public_data_a_fault_stops_nothing(consortium, monkeypatch):
    job = tiny.spec(tiny.NONE)
    public = tiny.federation(job)
    model = checks.models(public, job)[Role.TRAIN]
    rows = single(np.zeros((5, 3), dtype=np.uint16), np.zeros(5, dtype=np.uint8))
    rows.cells[0, 0] = 5
    bank = checks.joined(public, job, Dataset("bank", rows, rows, bytes(32)))
    faulty(monkeypatch, lambda cells: (cells[:, 0] == 5) & (cells[:, 1] == 0))
    refused(ask(public, bank, round_request(public, Role.TRAIN, model)), "internal")
    assert isinstance(ask(public, bank, round_request(public, Role.PREFLIGHT, b"")), Contribution)


@pytest.mark.parametrize("wrong", [np.zeros((1, 3), dtype=np.int64), np.zeros((1, 1)), np.zeros(1, dtype=np.int64)])
def test_sums_of_another_form_never_reach_the_noise(consortium, bank, monkeypatch, wrong):
    """One number would be spread over all coordinates, with one sensitivity for many."""
    model = checks.models(consortium, tiny.spec())[Role.TRAIN]

    class Other:
        def contribute(self, *_):
            return wrong

    monkeypatch.setattr(contribute_module, "family_of", lambda *_: Other())
    refused(ask(consortium, bank, round_request(consortium, Role.TRAIN, model)), "internal")
    assert not bank.ledger.charges(consortium.plan.digest())


def test_score_bins_that_do_not_fit_are_a_malformed_request(consortium, bank):
    model_of = checks.models(consortium, tiny.spec())
    narrow = ScoredModel(0, 3, model_of[Role.EVALUATE][8:]).encode()
    checks.ready(consortium, bank, Role.EVALUATE, model_of)
    refused(ask(consortium, bank, round_request(consortium, Role.EVALUATE, narrow)), "wire")


# One coordinator against another's job.


def test_a_second_coordinator_has_no_part_in_the_firsts_job(consortium, bank, preflight):
    rival = SigningKey.generate()
    shared = restarted(bank, coordinators={**bank._site.coordinators, "rival": rival.public})
    for message in (
        JoinRequest(consortium.plan.to_bytes()),
        preflight,
        ReleaseRequest(consortium.plan.digest(), b"{}"),
    ):
        refused(ask(consortium, shared, message, key=rival, sender="rival"), "coordinator")
    ask(consortium, shared, JoinRequest(consortium.plan.to_bytes()))
    checks.agree(consortium, tiny.spec(), shared)
    assert isinstance(ask(consortium, shared, preflight), Contribution)
    refused(ask(consortium, shared, preflight, key=rival, sender="rival"), "replay")


def test_identify_signs_nothing_that_counts_elsewhere(consortium, bank):
    """A nonce of the asker's choice, signed: no valid ledger event, and no valid message of another kind."""
    head = next(iter(bank.ledger._connection.execute("SELECT hash FROM event ORDER BY seq DESC")))[0]
    reply = open_envelope(bank.handle(consortium.coordinator_key.seal("coordinator", IdentifyRequest(head))))
    public = consortium.keys["bank-1"].public
    assert not verify_signature(public, length_prefixed("ledger-signature", head), reply.signature)
    for kind in range(10):
        if kind != reply.kind:
            with pytest.raises(Exception, match=r"signature|not part of wire"):
                replace(reply, kind=kind).verify(public)


# Plans that are meant to break something.


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"job":"\\ud800"}',
        b"\xff\xfe",
        b"",
        b"null",
        b"1" * 5000,
        b" " * (MAX_PLAN_BYTES + 1),
    ],
    ids=["nested lists", "nested objects", "half a letter", "no text", "nothing", "null", "long number", "too long"],
)
def test_bytes_that_are_no_plan_are_refused_in_words(consortium, bank, data):
    refused(ask(consortium, bank, JoinRequest(data)), "plan")


@pytest.mark.parametrize("value", ["1e400", "-1e400", "NaN", "Infinity", "1" + "0" * 4000, "true", '"1"', "null", "-1"])
@pytest.mark.parametrize(
    "place",
    [
        ("privacy", "epsilon"),
        ("privacy", "delta"),
        ("privacy", "colluders"),
        ("privacy", "max_attempts"),
        ("phases", "train", "noise_variance", "bank"),
        ("phases", "train", "rounds"),
        ("phases", "train", "sampling_rate"),
        ("phases", "evaluate", "vector_length"),
        ("evaluation", "score_bins"),
    ],
)
def test_numbers_that_are_none_are_refused_in_words(consortium, bank, place, value):
    plan = parse_json(changed(consortium.plan, job="other").to_bytes())
    part = plan
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = "@"
    reply = ask(consortium, bank, JoinRequest(canonical_json(plan).replace(b'"@"', value.encode())))
    assert isinstance(reply, Refusal)
    assert reply.code in {"plan", "noise", "terms"}
    assert len(reply.text) <= 500


def test_half_a_letter_in_a_valid_plan_is_refused_in_words(consortium, bank):
    plan = consortium.plan.to_bytes().replace(b'"purpose":"', b'"purpose":"\\ud800')
    refused(ask(consortium, bank, JoinRequest(plan)), "plan")


def test_noise_that_would_take_hours_to_draw_is_refused(consortium):
    phases = consortium.plan.phases.model_dump()
    phases["evaluate"]["noise_variance"]["bank"] = 2**80
    evaluation = {"score_bins": 1000, "groupings": ["type", "age", "status", "bill", "paid"]}
    cells = sum(feature.n_cells for feature in consortium.dictionary.features)
    phases["evaluate"]["vector_length"] = 2 * 1000 * (2 + cells)
    phases["evaluate"]["sensitivity_squared"] = dict.fromkeys(("bank", "hospital"), 5 * 1024**2)
    plan = changed(consortium.plan, phases=phases, evaluation=evaluation)
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    refused(ask(consortium, bank, JoinRequest(plan.to_bytes())), "noise")
    phases["evaluate"]["noise_variance"]["bank"] = 2**64
    assert isinstance(ask(consortium, bank, JoinRequest(changed(plan, phases=phases).to_bytes())), JoinReply)


def test_the_longest_vector_fits_a_message(consortium):
    empty = Contribution(bytes(32), Role.TRAIN, 1, 1, bytes(32), bytes(32), b"", 1, bytes(32), bytes(64))
    around = len(consortium.keys["bank-1"].seal("b" * 63, empty))
    assert around + 2 * 10 + 8 * MAX_VECTOR_LENGTH <= MAX_MESSAGE_BYTES
    with pytest.raises(Exception, match="vector_length"):
        parse_plan(
            consortium.plan.to_bytes().replace(
                f'"vector_length":{consortium.plan.phases.train.vector_length}'.encode(),
                f'"vector_length":{MAX_VECTOR_LENGTH + 1}'.encode(),
            )
        )


def test_a_refusal_does_not_send_back_what_it_was_sent(consortium, bank, preflight):
    stranger = SigningKey.generate()
    with pytest.raises(WireError, match="characters"):
        open_envelope(stranger.seal("x" * 100_000, preflight))
    assert len(bank.handle(stranger.seal("x" * 100_000, preflight))) < 1000
    assert len(bank.handle(consortium.coordinator_key.seal("coordinator", JoinRequest(b"[" * 10_000)))) < 1000


def test_a_crowd_of_members_is_refused_at_once(consortium, bank):
    crowd = RoundRequest(consortium.plan.digest(), Role.PREFLIGHT, 1, 1, ("bank-1",) * 200_000, b"", NO_TRANSCRIPT)
    refused(ask(consortium, bank, crowd), "roster")


def test_a_budget_refusal_says_nothing_of_what_is_left(consortium, bank):
    reply = ask(consortium, bank, JoinRequest(changed(consortium.plan, job="second").to_bytes()))
    assert (reply.code, reply.text) == ("budget", BUDGET_SENTENCE)


def test_a_failure_inside_leaves_as_a_word(consortium, tmp_path, preflight, monkeypatch):
    bank = custodian_of(consortium, consortium.institutions[0], tiny.spec(), tmp_path / "ledger.sqlite")
    bank.ledger.close()
    reply = ask(consortium, bank, preflight)
    refused(reply, "ledger")
    assert str(tmp_path) not in reply.text
    assert "sqlite" not in reply.text
    monkeypatch.setattr(type(bank.ledger), "stored", lambda *_: 1 / 0)
    reply = ask(consortium, bank, preflight)
    refused(reply, "internal")
    assert "division" not in reply.text


# Orders of events.


def test_a_job_that_is_over_cannot_be_joined_again(consortium, bank):
    assert isinstance(ask(consortium, bank, ReleaseRequest(consortium.plan.digest(), b"{}")), Receipt)
    refused(ask(consortium, bank, JoinRequest(consortium.plan.to_bytes())), "ledger")
    assert not bank._agreements._secrets


def test_a_job_goes_forward_only_and_costs_what_it_costs(consortium, bank):
    model_of = checks.models(consortium, tiny.spec())
    tried = [
        (Role.EVALUATE, 1, "order"),
        (Role.PREFLIGHT, 1, None),
        (Role.EVALUATE, 1, "order"),
        (Role.TRAIN, 1, None),
        (Role.EVALUATE, 1, "order"),
        (Role.TRAIN, 2, None),
        (Role.EVALUATE, 1, None),
    ]
    sent = []
    for role, round_, code in tried:
        reply = ask(consortium, bank, round_request(consortium, role, model_of[role], 1, round_))
        if code is None:
            assert isinstance(reply, Contribution), reply
            sent.append(reply)
        else:
            refused(reply, code)
    checks.check_charged(bank.ledger, consortium.plan, "bank", sent)
    job = bank.ledger.job(consortium.plan.digest())
    assert job.spent == job.reserved - job.retry_reserve


@pytest.mark.parametrize(("role", "round_"), [(Role.PREFLIGHT, 1), (Role.TRAIN, 1)])
def test_what_is_over_is_over(consortium, bank, role, round_):
    model_of = checks.models(consortium, tiny.spec())
    assert isinstance(
        ask(consortium, bank, round_request(consortium, Role.TRAIN, model_of[Role.TRAIN], 1, 2)), Contribution
    )
    refused(ask(consortium, bank, round_request(consortium, role, model_of[role], 1, round_)), "order")


def test_one_request_from_many_threads_is_one_charge(consortium, bank, preflight):
    asked = consortium.coordinator_key.seal("coordinator", checks.addressed(bank, preflight))
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(bank.handle(asked))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 8
    assert len(set(replies)) == 1
    assert len(bank.ledger.charges(consortium.plan.digest())) == 1


def test_many_requests_for_one_attempt_are_one_charge(consortium, bank):
    """Every subset of members that includes the bank is a request of its own; one of them wins."""
    subsets = [("bank-1",), ("bank-1", "bank-2"), ("bank-1", "hospital-1"), ("bank-1", "bank-2", "hospital-1")]
    replies = []

    def send(members):
        request = RoundRequest(consortium.plan.digest(), Role.PREFLIGHT, 1, 1, members, b"", NO_TRANSCRIPT)
        replies.append(ask(consortium, bank, request))

    threads = [threading.Thread(target=send, args=(members,)) for members in subsets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(reply).__name__ for reply in replies) == ["Contribution", "Refusal", "Refusal", "Refusal"]
    assert len(bank.ledger.charges(consortium.plan.digest())) == 1


def test_changed_data_answer_nothing_but_the_end_of_the_job(consortium, bank, preflight):
    data = replace(bank._site.data, fingerprint=b"\x99" * 32)
    other = restarted(bank, data=data)
    refused(ask(consortium, other, preflight), "data")
    refused(ask(consortium, other, JoinRequest(consortium.plan.to_bytes())), "data")
    assert isinstance(ask(consortium, other, ReleaseRequest(consortium.plan.digest(), b"{}")), Receipt)
    assert other.ledger.committed() == 0


def test_persons_are_sampled_and_clipped_whole_or_not_at_all():
    """Records that are sampled one by one would let a person with k of them take part k times as often."""
    person = {"unit": PrivacyUnit.PERSON, "max_records_per_person": 3}
    job = replace(tiny.with_privacy(tiny.spec(), **person), model=MlpSpec(sampling_rate=0.25))
    consortium = tiny.federation(job)
    institution = consortium.institutions[0]
    refused_by = custodian_of(consortium, institution, job, None)
    join = JoinRequest(consortium.plan.to_bytes())
    reply = ask(consortium, refused_by, join)
    assert (reply.code, "do not say whose" in reply.text) == ("unit", True)
    rows = institution.data.train
    whose = single(rows.cells, rows.bad, np.arange(rows.n_rows) // 2)
    known = replace(institution, data=replace(institution.data, train=whose))
    assert isinstance(ask(consortium, custodian_of(consortium, known, job, None), join), JoinReply)


def test_the_overflow_check_counts_what_one_record_can_add(consortium):
    """More than the lattice scale where a gradient's norm may exceed 1."""
    phases = consortium.plan.phases.model_dump()
    phases["train"]["sensitivity_squared"]["bank"] = 2**104
    with pytest.raises(RefusalError, match="overflow 64 bits"):
        guard_numbers(changed(consortium.plan, phases=phases))


def test_a_coordinator_writes_no_lines_into_our_log(consortium, bank, caplog):
    """What is wrong with a plan is said in its own words, which reach the institution's console and its log."""
    plan = canonical_json({"job": 1, "\n2026-01-01 all is well\x1b[2J": 1})
    refused(ask(consortium, bank, JoinRequest(plan)), "plan")
    (line,) = [record.getMessage() for record in caplog.records if "(plan)" in record.getMessage()]
    assert line.isprintable()
