"""Whole jobs under random schedules, and proof that each failure condition is one that can be met."""

import logging
from collections.abc import Iterator

import pytest

from tests.events import faults
from tests.events.consortium import prepare
from tests.events.operations import (
    CHANGES,
    Ask,
    Backup,
    ClockJump,
    Forge,
    Operation,
    Renew,
    Replay,
    Restart,
    Restore,
    Resume,
    Round,
    Sequence,
    Stop,
    Wait,
)
from tests.events.search import described, outcome, search, search_with

SEQUENCES, SEED = 1_000, 7
# Whatever a search of that size must have seen, or it has seen too little to say anything.
REACHED = {
    "a sum of 3",
    "a sum of 4",
    "done at attempt 2",
    "done after 2 rounds",
    "decided: train again",
    "decided: train ended",
    "decided: keys again",
    "2 jobs on one ledger",
    "ended: done",
    "ended: cannot pay for this job",
    "ended: retry reserve is used up",
    "refused: budget",
    "refused: expired",
    "refused: keys-epoch",
    "refused: keys-missing",
    "refused: keys-own",
    "refused: order",
    "refused: replay",
    "refused: rolled-back",
    "refused: roster",
    "refused: signature",
    "refused: stop",
    "refused: witness",
    *(f"operation: {one.__name__}" for one in (Ask, Backup, ClockJump, Forge, Renew, Replay, Restart, Restore)),
    *(f"operation: {one.__name__}" for one in (Resume, Round, Stop, Wait)),
}


@pytest.fixture
def quiet() -> Iterator[pytest.MonkeyPatch]:
    """Fixed models, and no line for each refusal."""
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        logging.disable(logging.CRITICAL)
        yield patch
        logging.disable(logging.NOTSET)


@pytest.mark.timeout(900)
def test_no_schedule_breaks_a_promise():
    report = search_with(2, SEQUENCES, SEED)
    assert not report.failed, described(report)
    assert report.sequences >= SEQUENCES
    assert set(report.reached) >= REACHED
    assert all(report.reached[f"forged: {change}"] for change in CHANGES)


def rounds(number: int, job: int = 0) -> tuple[Operation, ...]:
    return (Round(job),) * number


SHORTEST: dict[str, tuple[Operation, ...]] = {
    "answers forgotten": (*rounds(2), Round(0, ((0, "crash after"),)), *rounds(1)),
    "charged later": rounds(3),
    "no history": (*rounds(4), Forge(0, 1, "another role"), Wait(5), *rounds(1)),
    "old keys": (*rounds(3), Restart(0), *rounds(3), Forge(0, 1, "old join"), Wait(5)),
    "masks for any attempt": (*rounds(3), Forge(0, 1, "next attempt"), Wait(5)),
    "no masks": rounds(3),
    "parts released": (*rounds(2), Round(0, ((0, "crash after"),)), *rounds(2)),
    "anything answers": (*rounds(3), Round(0, ((1, "reply late"),)), Round(0, ((1, "reply late"),)), *rounds(1)),
    "no witnesses": (*rounds(2), Backup(1), *rounds(1), Restore(1), *rounds(6)),
    # Found by a search: an old copy of a ledger, joined from twice, outgrew what its peers had seen of the true one.
    "one book of heads": (*rounds(2), Backup(1), *rounds(1), Restore(1), *rounds(2), Restart(1), *rounds(4)),
    "no budget": (Round(0), Round(1)),
    "no retry reserve": (*rounds(3), Forge(0, 1, "next attempt"), Wait(5), Forge(0, 1, "last attempt"), Wait(5)),
    "no expiry": (*rounds(3), ClockJump(1, 40), *rounds(1)),
    "no stop": (*rounds(2), Stop(0, 1), *rounds(1)),
    "forgetful store": (*rounds(3), Resume(0)),
    "a custodian that breaks": rounds(2),
    "keys are drawn once": (*rounds(3), Restart(0), Restart(1)),
}


@pytest.mark.parametrize("fault", SHORTEST)
def test_a_fault_is_noticed(quiet, fault):
    switch_off, condition = faults.FAULTS[fault]
    sequence = Sequence(16, SHORTEST[fault])
    assert outcome(sequence) == ""
    switch_off(quiet)
    assert outcome(sequence).startswith(f"failure condition {condition}:")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", faults.FAULTS)
def test_a_fault_is_found(quiet, fault):
    """By a few hundred random schedules, without being told where to look."""
    faults.FAULTS[fault][0](quiet)
    assert search(500, SEED, most_failures=1).failed
