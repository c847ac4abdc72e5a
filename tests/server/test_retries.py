"""Attempts that fail: who is asked again, with whom, what it costs, and that what is released is always a true sum."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fedcredit import preflight
from fedcredit.custodian.custodian import Custodian
from fedcredit.errors import JobError
from fedcredit.job.progress import noise_variance
from fedcredit.job.store import Outcome
from fedcredit.plan import Placement
from fedcredit.roster import Roster
from fedcredit.wire.envelope import envelope_hash, open_envelope
from fedcredit.wire.messages import Refusal, Role, StopRequest
from server.results import release_files
from simulations.federation import found
from tests import tiny

MASKED = tiny.NONE.model_copy(update={"masks": True, "max_drops": 2})
KINDS = {"bank-1": "bank", "bank-2": "bank", "bank-3": "bank", "hospital-1": "hospital", "hospital-2": "hospital"}
# Distributed noise needs three owners of each block after the drop, too.
FOUR_BANKS = dict.fromkeys(("bank-1", "bank-2", "bank-3", "bank-4"), "bank")


def consortium_of(job, kinds=KINDS):
    members = tuple(tiny.institution(name, kind, 200 + 50 * n, n) for n, (name, kind) in enumerate(kinds.items()))
    return found(tiny.dictionary(), members, job)


@pytest.fixture
def job():
    return tiny.spec(MASKED)


@pytest.fixture
def consortium(job):
    return consortium_of(job)


@pytest.fixture
def members(consortium, job):
    return tiny.custodians(consortium, job)


def answers(driver, members, silent=()):
    step = driver.next_step()
    return {name: members[name].handle(request) for name, request in step.requests.items() if name not in silent}


def give_up_on(driver, members, *silent):
    """Drive until an attempt that some never answer is decided."""
    attempt = driver.progress.attempt
    while driver.progress.attempt == attempt:
        driver.receive(answers(driver, members, silent))


def rows_of(consortium, names):
    return sum(one.data.train.n_rows for one in consortium.institutions if one.id in names)


def counted(driver):
    """Rows in the released preflight, by the feature that everybody owns."""
    return round(float(driver.progress.preflight.counts[0].sum()))


def restarted(bank):
    return Custodian(bank._site, bank.ledger, noise_law=bank._noise_law)


def test_a_dropped_members_rows_are_not_in_the_sum_and_the_masks_still_cancel(consortium, members):
    driver = tiny.coordinator(consortium, quorum=3)
    tiny.run(driver, members, until="preflight")
    give_up_on(driver, members, "bank-2")
    step = driver.next_step()
    assert (step.phase, step.attempt, "bank-2" in step.requests) == ("preflight", 2, False)
    tiny.run(driver, members, until="train")
    left = [name for name in KINDS if name != "bank-2"]
    assert counted(driver) == rows_of(consortium, left)
    tiny.run(driver, members)
    assert driver.institutions == tuple(left)
    assert driver.done
    summary = json.loads(release_files(driver)["job.json"])
    assert (summary["left_out"], summary["rounds_trained"], summary["evaluated"]) == (["bank-2"], 2, True)


def test_every_round_can_lose_a_member_until_the_plans_limit(consortium, members):
    driver = tiny.coordinator(consortium, quorum=3)
    tiny.run(driver, members, until="preflight")
    give_up_on(driver, members, "bank-1")
    tiny.run(driver, members, until="train")
    give_up_on(driver, members, "hospital-2")
    tiny.run(driver, members, until="evaluate")
    assert driver.institutions == ("bank-2", "bank-3", "hospital-1")
    with pytest.raises(JobError, match="resume"):
        give_up_on(driver, members, "bank-3")


def test_both_attempts_are_charged_and_the_noise_is_fresh():
    job = tiny.spec(tiny.SHARED)
    consortium = consortium_of(job, FOUR_BANKS)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=3)
    tiny.run(driver, members, until="preflight")
    give_up_on(driver, members, "bank-1")
    tiny.run(driver, members, until="train")
    charges = members["bank-2"].ledger.charges(consortium.plan.digest())
    assert [(event["attempt"], len(event["members"])) for event in charges] == [(1, 4), (2, 3)]
    assert charges[0]["cost"] == charges[1]["cost"]
    # Two honest shares do what three did: whoever stays adds more.
    assert charges[1]["own_noise_variance"] * 2 == pytest.approx(charges[0]["own_noise_variance"] * 3, rel=1e-6)
    assert members["bank-1"].ledger.charges(consortium.plan.digest()) == []


def test_a_restarted_member_joins_again_and_the_round_goes_on(consortium, members):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    members["bank-2"] = restarted(members["bank-2"])
    seen = []
    while (step := driver.next_step()).phase != "evaluate":
        seen.append((step.phase, step.round, step.attempt, len(step.requests)))
        driver.receive(answers(driver, members))
    assert seen[:5] == [
        ("train", 1, 1, 5),  # refused by the one without keys
        ("join", 1, 1, 1),
        ("keys", 1, 1, 5),
        ("train", 1, 2, 5),
        ("train", 2, 1, 5),
    ]
    assert members["bank-2"].ledger.notes("epoch")[-1]["key_epoch"] == 2
    assert driver.institutions == tuple(KINDS)


def test_a_restart_while_keys_are_agreed_on_is_no_end(consortium, members):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="keys")
    members["hospital-1"] = restarted(members["hospital-1"])
    tiny.run(driver, members, until="preflight")
    assert driver.progress.agreements == 2
    tiny.run(driver, members)
    assert driver.done
    assert counted(driver) == rows_of(consortium, KINDS)


def test_a_member_that_never_keeps_its_keys_is_left_out(consortium, members):
    driver = tiny.coordinator(consortium, quorum=4)
    tiny.run(driver, members, until="train")
    while driver.next_step().phase != "evaluate":
        members["bank-3"] = restarted(members["bank-3"])
        driver.receive(answers(driver, members))
    assert "bank-3" not in driver.institutions
    assert driver.progress.rounds_trained == 2


def test_a_member_that_the_quorum_needs_gets_every_attempt(consortium, members):
    """It restarts twice in one round: were it given up, the job would stand still however often it is resumed."""
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    for attempt in (1, 2):
        members["bank-3"] = restarted(members["bank-3"])
        while (driver.progress.next_phase, driver.progress.attempt) != ("train", attempt + 1):
            driver.receive(answers(driver, members))
    tiny.run(driver, members)
    assert (driver.done, driver.progress.rounds_trained, len(driver.institutions)) == (True, 2, 5)


def test_a_plan_of_one_attempt_ends_training_with_the_first_that_fails():
    job = tiny.spec(MASKED.model_copy(update={"max_attempts": 1}))
    consortium = consortium_of(job)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    members["bank-3"] = restarted(members["bank-3"])
    tiny.run(driver, members)
    # The restarted bank never took part in a round and refuses to evaluate: the model is released without.
    assert (driver.done, driver.progress.rounds_trained, driver.progress.evaluation) == (True, 0, None)


@pytest.mark.parametrize("code", ["budget", "attempt", "keys-missing"])
def test_an_old_refusal_sent_again_is_silence(consortium, members, code):
    """Whoever carries the packets can repeat them: it must not end training or cost an attempt."""
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    old = consortium.keys["bank-1"].seal("bank-1", Refusal(bytes(32), code, "from another job"))
    driver.receive({**answers(driver, members), "bank-1": old})
    assert (driver.next_step().phase, driver.progress.attempt) == ("train", 1)
    assert list(driver.next_step().requests) == ["bank-1"]
    tiny.run(driver, members)
    assert (driver.done, driver.progress.rounds_trained) == (True, 2)


def test_a_reserve_that_was_never_touched_is_not_used_up(consortium, members):
    driver = tiny.coordinator(consortium, quorum=4)
    tiny.run(driver, members, until="train")
    asked = driver.next_step().requests["bank-1"]
    spent = consortium.keys["bank-1"].seal("bank-1", Refusal(envelope_hash(asked), "budget", "all gone"))
    driver.receive({**answers(driver, members), "bank-1": spent})
    assert (driver.next_step().phase, driver.progress.attempt) == ("train", 2)
    assert "bank-1" not in driver.institutions


def test_a_member_that_calls_the_evaluation_too_early_after_the_last_round_is_left_out(consortium, members):
    """Believed, it would cost everybody the evaluation."""
    driver = tiny.coordinator(consortium, quorum=4)
    tiny.run(driver, members, until="evaluate")
    asked = driver.next_step().requests["bank-1"]
    early = consortium.keys["bank-1"].seal("bank-1", Refusal(envelope_hash(asked), "order", "training is not over"))
    driver.receive({**answers(driver, members), "bank-1": early})
    assert (driver.next_step().phase, driver.progress.attempt) == ("evaluate", 2)
    tiny.run(driver, members)
    assert "bank-1" not in driver.institutions
    assert driver.progress.evaluation is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agreement_key": bytes(32)}, "would make the pair's secret public"),
        ({"key_epoch": 0}, "epochs start at 1"),
        ({"roster_version": 7}, "roster version 7"),
    ],
)
def test_an_unusable_join_is_its_senders_fault_and_nobody_elses(consortium, members, change, words):
    driver = tiny.coordinator(consortium)
    replies = answers(driver, members)
    join = open_envelope(replies["bank-2"]).verify(consortium.keys["bank-2"].public)
    bad = consortium.keys["bank-2"].seal("bank-2", replace(join, **change))
    with pytest.raises(JobError, match=rf"bank-2: its join cannot be used: .*{words}"):
        driver.receive({**replies, "bank-2": bad})
    tiny.run(driver, members)
    assert driver.done


def test_a_member_on_an_old_copy_of_its_ledger_is_left_out_when_it_rejoins(consortium, members, job):
    driver = tiny.coordinator(consortium, quorum=4)
    tiny.run(driver, members, until="train")
    members["bank-2"] = tiny.custodians(consortium, job)["bank-2"]  # an empty ledger: epoch 1 again, with another key
    tiny.run(driver, members)
    assert driver.done
    assert "bank-2" not in driver.institutions


def test_a_member_that_is_gone_for_good_does_not_keep_the_model_from_the_others(consortium, members):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="release")
    for _ in range(2):
        driver.receive(answers(driver, members, ("bank-3",)))
    assert driver.done
    assert json.loads(release_files(driver)["job.json"])["receipts"] == sorted(set(KINDS) - {"bank-3"})


def test_a_stop_ends_the_job_with_the_model_so_far(consortium, members):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    driver.receive(answers(driver, members))
    stop = consortium.keys["bank-1"].seal("bank-1", StopRequest(consortium.plan.roster.digest()))
    for member in members.values():
        member.handle(stop)
    tiny.run(driver, members)
    assert (driver.done, driver.progress.rounds_trained, driver.progress.evaluation) == (True, 1, None)
    assert all(not one.ledger.open_jobs() for one in members.values())


def test_a_roster_that_expires_in_mid_job_ends_it_with_the_model_so_far(consortium, members, monkeypatch):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    driver.receive(answers(driver, members))
    monkeypatch.setattr(Roster, "expired", lambda *_: True)
    tiny.run(driver, members)
    assert (driver.done, driver.progress.rounds_trained, driver.progress.evaluation) == (True, 1, None)


def test_too_few_owners_of_a_block_stop_the_job_before_anybody_is_left_out():
    job = tiny.spec(tiny.SHARED)
    consortium = consortium_of(job, FOUR_BANKS | {"hospital-1": "hospital", "hospital-2": "hospital"})
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=3)
    assert consortium.plan.privacy.min_owners == 2
    tiny.run(driver, members, until="train")
    driver.receive(answers(driver, members, ("hospital-1",)))
    with pytest.raises(JobError, match="hospital-1: no answer"):
        driver.receive(answers(driver, members, ("hospital-1",)))
    tiny.run(driver, members)  # it is back: the same attempt is completed
    assert (driver.done, len(driver.institutions)) == (True, 6)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_coordinator_that_dies_anywhere_among_retries_releases_the_same_sums(consortium, job, tmp_path, cut):
    """One member silent in preflight, another restarted in training; the store is opened anew after `cut` exchanges."""

    def drive(cut_at):
        members = tiny.custodians(consortium, job)
        path = tmp_path / f"{cut_at}.sqlite"
        driver, exchanges, restart_due = tiny.coordinator(consortium, path, quorum=3), 0, True
        while (step := driver.next_step()) is not None:
            if step.phase == "train" and restart_due:
                members["bank-2"], restart_due = restarted(members["bank-2"]), False
            silent = ("hospital-2",) if step.phase not in ("join", "keys") else ()
            replies = answers(driver, members, silent)
            exchanges += 1
            if exchanges == cut_at:
                driver = tiny.coordinator(consortium, path, quorum=3)  # the replies are lost
                continue
            driver.receive(replies)
        charges = {name: len(one.ledger.charges(consortium.plan.digest())) for name, one in members.items()}
        return [one.sums.tobytes() for one in driver._store.steps() if one.outcome is Outcome.DONE], charges

    assert drive(cut) == drive(0)


def test_training_that_can_be_tried_no_more_ends_with_the_model_so_far(members, consortium):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="train")
    driver.receive(answers(driver, members))
    assert driver.progress.rounds_trained == 1
    for code in ("attempt", "budget"):
        replies = answers(driver, members)
        asked = driver.next_step().requests["bank-1"]
        refusal = Refusal(envelope_hash(asked), code, "as an honest member would, who has lost its bytes")
        driver.receive({**replies, "bank-1": consortium.keys["bank-1"].seal("bank-1", refusal)})
    assert driver.next_step().phase == "evaluate"
    assert driver.institutions == tuple(KINDS)
    tiny.run(driver, members)
    assert (driver.done, driver.progress.rounds_trained) == (True, 1)


def test_the_reserve_pays_for_one_retry_of_preflight_and_no_more():
    job = tiny.spec(tiny.SHARED)
    consortium = consortium_of(job, FOUR_BANKS)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=3)
    tiny.run(driver, members, until="preflight")
    give_up_on(driver, members, "bank-1")
    tiny.run(driver, members, until="train")
    # A training round costs more than what is left: the reserve is used up by the first that fails.
    members["bank-2"] = Custodian(members["bank-2"]._site, members["bank-2"].ledger)
    while driver.next_step().phase != "evaluate":
        driver.receive(answers(driver, members))
    assert driver.progress.rounds_trained == 0
    tiny.run(driver, members)
    assert driver.done
    assert driver.progress.evaluation is not None
    for name in driver.institutions:
        account = members[name].ledger.job(consortium.plan.digest())
        assert account.spent <= account.reserved


def test_a_sum_that_no_rows_could_give_is_not_released(consortium, members):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members, until="preflight")
    replies = answers(driver, members)
    sent = open_envelope(replies["bank-3"]).verify(consortium.keys["bank-3"].public)
    noise = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, len(sent.vector) // 8)
    wrong = replace(sent, vector=noise.astype("<i8").tobytes())
    with pytest.raises(JobError, match="did not keep to the protocol"):
        driver.receive({**replies, "bank-3": consortium.keys["bank-3"].seal("bank-3", wrong)})
    tiny.run(driver, members)  # nothing was stored: the honest bytes are asked for again
    assert driver.done


@pytest.mark.statistical
@pytest.mark.parametrize("placement", [Placement.LOCAL, Placement.DISTRIBUTED])
def test_released_noise_is_what_the_coordinator_works_with(placement):
    """The sum of all members' noise has the variance that the model family is told of."""
    job = tiny.spec(tiny.LOCAL.model_copy(update={"placement": placement}))
    consortium = consortium_of(job)
    parts = [preflight.count(consortium.dictionary, one.kind, one.data.train)[0] for one in consortium.institutions]
    truth, scale = np.sum(parts, axis=0), consortium.plan.phases.preflight.scale
    variance = noise_variance(consortium.plan, consortium.dictionary, Role.PREFLIGHT, consortium.plan.members)
    squares = []
    for _ in range(24):
        driver = tiny.coordinator(consortium)
        tiny.run(driver, tiny.custodians(consortium, job), until="train")
        counts = np.concatenate([one.ravel() for one in driver.progress.preflight.counts])
        squares.append(((counts - truth) * scale) ** 2 / variance)
    total, size = float(np.sum(squares)), np.size(squares)
    assert 1e-9 < stats.chi2.sf(total, size) < 1 - 1e-9
    assert stats.chi2.sf(total / 0.7**2, size) < 1e-20
    assert stats.chi2.cdf(total / 1.3**2, size) < 1e-20


@pytest.mark.parametrize("colluders", [2, 3])
def test_nobody_waits_for_the_word_of_a_member_that_left_before_keys_were_agreed_on(colluders):
    """Of four, each wants to hear three others; one falls silent in between, and the rest agree anew without it."""
    job = tiny.with_privacy(tiny.spec(), colluders=colluders, max_drops=1)
    consortium = consortium_of(job, FOUR_BANKS)
    members = tiny.custodians(consortium, job)
    driver = tiny.coordinator(consortium, quorum=3)
    tiny.run(driver, members, until="keys")
    while "bank-3" in driver.institutions:
        driver.receive(answers(driver, members, silent=("bank-3",)))
    assert (driver.progress.next_phase, driver.progress.keyed) == ("keys", ("bank-1", "bank-2", "bank-4"))
    tiny.run(driver, members)
    assert driver.done
