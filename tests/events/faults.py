"""Deliberate faults: defences switched off, each of which the simulation must notice."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from fedcredit.custodian import agreements, guard, open_jobs
from fedcredit.custodian.witness import HeadBook
from fedcredit.errors import RefusalError
from fedcredit.job.store import JobStore, Outcome
from fedcredit.privacy.ledger import Ledger
from fedcredit.secure_aggregation import masks
from fedcredit.secure_aggregation.masks import PairSecrets
from fedcredit.wire.heads import Head, newest
from server import coordinator
from server.verdict import Verdict


def _nothing(*_: object, **__: object) -> None:
    """A check that lets everything pass."""


def answers_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A stored message is not looked up; the same request is answered anew."""
    patch.setattr(Ledger, "stored", _nothing)


def charged_later(patch: pytest.MonkeyPatch) -> None:
    """A message leaves before its event is written."""
    patch.setattr(Ledger, "commit", lambda ledger, _, seal: seal(ledger.event_count + 1, bytes(32)))


def no_history(patch: pytest.MonkeyPatch) -> None:
    """A request is not compared with those that were answered before."""
    patch.setattr(open_jobs, "guard_history", _nothing)


def old_keys(patch: pytest.MonkeyPatch) -> None:
    """Peers' key epochs are not looked at."""
    patch.setattr(agreements, "guard_peer_keys", _nothing)


def masks_for_any_attempt(patch: pytest.MonkeyPatch) -> None:
    """Masks do not depend on the attempt."""
    bound = masks.pair_info
    patch.setattr(masks, "pair_info", lambda place, *pair: bound(replace(place, attempt=0), *pair))


def no_masks(patch: pytest.MonkeyPatch) -> None:
    """Vectors leave as they are."""
    patch.setattr(PairSecrets, "mask", lambda *_: _Open())


class _Open:
    """A mask that hides nothing."""

    def apply(self, vector: object) -> object:
        return vector


def parts_released(patch: pytest.MonkeyPatch) -> None:
    """The coordinator takes an attempt for whole that lacks a member."""
    decide = coordinator.verdict

    def lenient(plan, dictionary, progress, asking, quorum):
        found = decide(plan, dictionary, progress, asking, quorum)
        charged = progress.next_phase in ("preflight", "train", "evaluate")
        return Verdict(Outcome.DONE, found.members) if charged and len(asking.answered) >= quorum else found

    patch.setattr(coordinator, "verdict", lenient)


def anything_answers(patch: pytest.MonkeyPatch) -> None:
    """The coordinator takes any message of the right kind, whatever it was sent for."""
    answers = coordinator.answers
    patch.setattr(
        coordinator,
        "answers",
        lambda plan, name, asked, reply: type(reply).__name__ == "Contribution" or answers(plan, name, asked, reply),
    )


def no_witnesses(patch: pytest.MonkeyPatch) -> None:
    """Neither peers' word nor own heads in requests are compared with the ledger."""
    patch.setattr(agreements, "guard_witnesses", _nothing)
    patch.setattr(agreements, "guard_own_heads", _nothing)


def one_book_of_heads(patch: pytest.MonkeyPatch) -> None:
    """Peers keep the newest head of a ledger alone, be it of a join or of a contribution, and nothing else notices."""

    def take(book: HeadBook, heads: Iterable[Head]) -> None:
        book._joined = newest([*book._joined.values(), *book._contributed.values(), *heads])
        book._contributed = {}

    patch.setattr(agreements, "guard_own_heads", _nothing)
    patch.setattr(HeadBook, "take_joined", take)
    patch.setattr(HeadBook, "take_contributed", take)


def no_budget(patch: pytest.MonkeyPatch) -> None:
    """What other jobs have set aside does not count."""
    patch.setattr(Ledger, "committed", lambda _: 0)


def no_retry_reserve(patch: pytest.MonkeyPatch) -> None:
    """Retries are charged to the whole job."""
    patch.setattr(Ledger, "_spent_on_retries", lambda *_: 0)


def no_expiry(patch: pytest.MonkeyPatch) -> None:
    """A roster's last day does not matter."""
    patch.setattr(guard, "_guard_not_expired", _nothing)


def no_stop(patch: pytest.MonkeyPatch) -> None:
    """A member's stop is written down, and that is all."""
    patch.setattr(open_jobs.OpenJobs, "_guard_not_stopped", _nothing)


def forgetful_store(patch: pytest.MonkeyPatch) -> None:
    """Decided sums are not there after a restart."""
    steps = JobStore.steps
    patch.setattr(JobStore, "steps", lambda store: [step for step in steps(store) if step.phase != "preflight"])


def breaking(patch: pytest.MonkeyPatch) -> None:
    """A custodian that fails says so by an exception of the wrong kind."""

    def failing(*_: object) -> None:
        raise KeyError("somewhere")

    patch.setattr(agreements, "keys_event", failing)


def never_again(patch: pytest.MonkeyPatch) -> None:
    """Who lost its keys is never asked to join again."""

    def refused(secrets: agreements.Agreements, plan_hash: bytes) -> object:
        known = secrets._secrets.get(plan_hash)
        if known is None:
            raise RefusalError("keys-missing", "gone")
        if len(secrets._ledger.notes("epoch")) > 1:
            raise RefusalError("keys-gone", "keys are drawn once")
        return known

    patch.setattr(agreements.Agreements, "_joined", refused)


FAULTS: Mapping[str, tuple[Callable[[pytest.MonkeyPatch], None], int]] = {
    "answers forgotten": (answers_forgotten, 4),
    "charged later": (charged_later, 6),
    "no history": (no_history, 5),
    "old keys": (old_keys, 9),
    "masks for any attempt": (masks_for_any_attempt, 3),
    "no masks": (no_masks, 2),
    "parts released": (parts_released, 1),
    "anything answers": (anything_answers, 1),
    "no witnesses": (no_witnesses, 10),
    "one book of heads": (one_book_of_heads, 10),
    "no budget": (no_budget, 7),
    "no retry reserve": (no_retry_reserve, 7),
    "no expiry": (no_expiry, 8),
    "no stop": (no_stop, 8),
    "forgetful store": (forgetful_store, 11),
    "a custodian that breaks": (breaking, 12),
    "keys are drawn once": (never_again, 13),
}
"""Each fault, and the failure condition by which it is known."""
