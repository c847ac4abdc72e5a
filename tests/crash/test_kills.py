"""Kill -9 in every step of a custodian and of a coordinator; afterwards the job goes on and every promise holds.

The processes are real, forked from one that has loaded the code; their keys, ledgers, counters, stores and sockets are
real files. `tests.crash.violations` says what must hold, and `tests.crash.faults` shows that each check can fail.
"""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.consortium import KINDS, Consortium, found
from tests.crash.crew import COORDINATOR, Crew, Kill, Zygote
from tests.crash.violations import ROUNDS, lines, read_job, violations

pytestmark = pytest.mark.timeout(600)

A, B, H = KINDS
# Transactions of a custodian: reserve, epoch, keys, preflight, train 1, train 2, evaluate, close.
IN_A_CUSTODIAN = [
    (A, "after open", 1),
    (H, "after serve", 1),
    (A, "before join", 1),
    (B, "after reserve", 1),
    (H, "after note", 1),
    (A, "after note", 2),
    (A, "before guard", 2),
    (B, "after rehearse", 2),
    (H, "after contribute", 2),
    (A, "after noise", 3),
    (B, "after mask", 2),
    (H, "after sign", 4),
    (A, "after append", 5),
    (B, "before COMMIT", 5),
    (H, "after COMMIT", 5),
    (A, "before replace", 6),
    (B, "after counter", 7),
    (H, "after commit", 1),
    (B, "before line", 5),
    (H, "after trail", 4),
    (A, "after answer", 4),
    (B, "after send", 5),
    (H, "before finish", 1),
    (A, "after finish", 1),
]
IN_THE_COORDINATOR = [
    (COORDINATOR, "before open store", 1),
    (COORDINATOR, "before COMMIT", 1),
    (COORDINATOR, "before send", 10),
    (COORDINATOR, "after send", 11),
    (COORDINATOR, "before record", 4),
    (COORDINATOR, "before keep", 5),
    (COORDINATOR, "after keep", 6),
    (COORDINATOR, "after take", 10),
    (COORDINATOR, "before COMMIT", 8),
    (COORDINATOR, "before COMMIT", 16),
    (COORDINATOR, "after record", 5),
    (COORDINATOR, "after record", 7),
]
WITHOUT_PRIVACY = [
    (A, "after contribute", 2),
    (B, "before COMMIT", 4),
    (H, "after answer", 3),
    (COORDINATOR, "before record", 3),
]
UNDER_LOCAL_NOISE = [(H, "after noise", 2), (H, "after COMMIT", 6), (COORDINATOR, "after send", 13)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name leaves room for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("placement", "points"),
    [
        ("distributed", IN_A_CUSTODIAN[:8]),
        ("distributed", IN_A_CUSTODIAN[8:16]),
        ("distributed", IN_A_CUSTODIAN[16:]),
        ("distributed", IN_THE_COORDINATOR),
        ("local", UNDER_LOCAL_NOISE),
        ("none", WITHOUT_PRIVACY),
    ],
    ids=["before-noise", "up-to-the-commit", "after-the-commit", "coordinator", "local", "without-privacy"],
)
def test_a_kill_at_each_step(warmed, folder, placement, points):
    consortium, models = found(folder, placement), set()
    crew = Crew(warmed, consortium)
    try:
        for number, (victim, place, passage) in enumerate(points):
            hit, done, bad = lead(crew, f"job-{number}", [Kill(victim, place, passage)])
            assert hit == [f"{victim} {place}"]
            assert bad == [], (victim, place, passage)
            models.add(done.model)
        if not consortium.private:
            models.add(lead(crew, "job-undisturbed", [])[1].model)
            assert len(models) == 1
    finally:
        crew.close()


def lead(crew: Crew, name: str, kills: list[Kill]):
    """The kills that happened, the job as it ended, and what does not hold."""
    job = crew.consortium.job(name)
    hit = crew.run(job, kills)
    done = read_job(crew.consortium, job)
    return hit, done, violations(done)


def test_a_restart_draws_new_noise_and_a_resend_none(warmed, folder):
    """What the checks rest on: a charge that was never sent is followed by a higher attempt with noise of its own."""
    crew = Crew(warmed, found(folder, "distributed"))
    try:
        _, done, bad = lead(crew, "job-0", [Kill(A, "after noise", 2)])
        again = [step[:4] for step in done.steps if step[0] == "train"]
        assert again == [["train", 1, 1, "again"], ["train", 1, 2, "done"], ["train", 2, 1, "done"]]
        drawn = [line["noise"] for line in lines(crew.consortium.trace(A)) if "noise" in line]
        assert len(drawn) == len(set(drawn)) == 5
        _, done, more = lead(crew, "job-1", [Kill(COORDINATOR, "before record", 4)])
        assert [step[:4] for step in done.steps if step[0] == "train"] == [["train", r, 1, "done"] for r in (1, 2)]
        assert len([line for line in lines(crew.consortium.trace(A)) if "noise" in line]) == 5 + 2 + ROUNDS
        assert bad == more == []
    finally:
        crew.close()


@pytest.mark.parametrize(
    ("fault", "who", "kill", "words"),
    [
        ("unsynced", [A], Kill(A, "after send", 7), "a receipt was received that is not stored"),
        ("charged_elsewhere", [B], None, "was received and not charged"),
        ("one_noise", [H], None, "noise vectors were drawn more than once"),
        ("unmasked", list(KINDS), None, "two of its vectors share a masked word"),
        ("untold", [H], None, "its trail names events"),
        # Whoever answered last is asked again: the others' answers are in the coordinator's store.
        ("recomputed", list(KINDS), Kill(COORDINATOR, "before record", 4), "was charged and computed again"),
        ("resealed", list(KINDS), Kill(COORDINATOR, "before record", 4), "in other bytes than the stored ones"),
        ("unkept", [COORDINATOR], Kill(COORDINATOR, "after keep", 8), "and was asked again"),
        ("forgotten", [COORDINATOR], Kill(COORDINATOR, "before send", 14), "was decided and asked again"),
    ],
)
def test_a_broken_product_is_found(warmed, folder, fault, who, kill, words):
    crew = Crew(warmed, found(folder, "distributed"), dict.fromkeys(who, fault))
    try:
        _, _, bad = lead(crew, "job-0", [] if kill is None else [kill])
        if fault == "unmasked":  # that two vectors share a word by chance is likely in one job, and sure in three
            bad += [sentence for job in ("job-1", "job-2") for sentence in lead(crew, job, [])[2]]
        assert any(words in sentence for sentence in bad), bad
    finally:
        crew.close()


# --- by chance

POINTS = int(os.environ.get("FEDCREDIT_KILLS", "210"))
JOBS_OF_A_CONSORTIUM = 10


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kills_by_chance(warmed, capsys):
    """Half at a random moment, half at a random passage of a random place; a quarter of the jobs is hit twice."""
    seed = int(os.environ.get("FEDCREDIT_SEED", time.time_ns() % 2**32))
    chance, table, bad = random.Random(seed), Counter(), []
    began = time.monotonic()
    while table.total() < POINTS:
        for placement in ("distributed", "local", "none"):
            if table.total() < POINTS:
                bad += kill_by_chance(warmed, placement, chance, table)
    with capsys.disabled():
        print(f"\nseed {seed}: {table.total()} kills, {len(bad)} violations, {time.monotonic() - began:.0f} s")
        for place, count in sorted(table.items()):
            print(f"{count:5d}  {place}")
        print(*bad, sep="\n")
    assert bad == []


def kill_by_chance(warmed: Zygote, placement: str, chance: random.Random, table: Counter) -> list[str]:
    """One consortium's jobs; what does not hold after them."""
    bad: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fc-") as folder:
        crew = Crew(warmed, found(Path(folder), placement))
        try:
            _, undisturbed, first = lead(crew, "job-0", [])
            bad += first
            places = passages(crew.consortium, "job-0")
            began = time.monotonic()
            lead(crew, "job-1", [])
            duration = time.monotonic() - began
            for number in range(2, JOBS_OF_A_CONSORTIUM):
                victims = chance.sample([*KINDS, COORDINATOR], 1 if chance.random() < 0.75 else 2)
                kills = [drawn(chance, victim, places, duration) for victim in victims]
                hit, done, found_bad = lead(crew, f"job-{number}", kills)
                table.update(hit)
                if not crew.consortium.private and done.model != undisturbed.model:
                    found_bad.append("another model than that of the undisturbed job")
                bad += [f"{placement} {hit}: {one}" for one in found_bad]
        except RuntimeError as error:
            bad.append(f"{placement}: {error}")
        finally:
            crew.close()
    return bad


def drawn(chance: random.Random, victim: str, places: dict[str, Counter], duration: float) -> Kill:
    if chance.random() < 0.5:
        return Kill(victim, delay_s=chance.uniform(0, duration))
    place, passage = chance.choice([(place, n + 1) for place, count in places[victim].items() for n in range(count)])
    return Kill(victim, place, passage)


def passages(consortium: Consortium, job: str) -> dict[str, Counter]:
    """How often each process has passed each place in the first job."""
    traces = {**{name: consortium.trace(name) for name in KINDS}, COORDINATOR: consortium.trace(job)}
    return {name: Counter(line["at"] for line in lines(path) if "at" in line) for name, path in traces.items()}
