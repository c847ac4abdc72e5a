"""Masks change what the coordinator sees of each institution and not one bit of what is released.

The noise of a message depends on its plan's hash, and a plan says whether vectors are masked. So two plans are
compared without noise; and with noise from a law of the test's own, which is the same under both.
"""

from dataclasses import replace

import numpy as np
import pytest

from fedcredit.custodian.custodian import Custodian
from fedcredit.models.family import family_of
from fedcredit.plan import Placement, parse_plan
from fedcredit.privacy import rounded_gaussian
from fedcredit.wire.messages import Role
from server.coordinator import Coordinator
from simulations import simulate
from simulations.comparisons import run_same_type
from simulations.federation import Federation, JobSpec
from simulations.seeded_bits import SeededBitSource
from tests import own_table, tiny

DISTRIBUTED = tiny.LOCAL.model_copy(update={"placement": Placement.DISTRIBUTED})


class Counted:
    """Noise that depends on the institution and the number of the message only."""

    def __init__(self, institution: str) -> None:
        self._bits, self._n = SeededBitSource(1, institution), 0

    def __call__(self, role: Role, noise_variance: int, size: int, bits, context: bytes):  # noqa: ARG002
        self._n += 1
        words = self._bits.stream(self._n.to_bytes(8, "big"), rounded_gaussian.bytes_needed(size))
        return rounded_gaussian.draw(noise_variance, size, words)


def released(driver: Coordinator, consortium: Federation) -> list[bytes]:
    """The sums of every step as the store holds them, then the model."""
    # Only a plan with masks has a step in which keys are exchanged; it releases nothing.
    sums = [step.sums.astype("<i8").tobytes() for step in driver._store.steps() if step.sums.size]
    return [*sums, family_of(consortium.plan.model.family).final(driver.progress.state)]


def run(job: JobSpec, members: dict[str, Custodian], consortium: Federation) -> tuple[list[bytes], dict[str, bytes]]:
    driver = tiny.coordinator(consortium)
    tiny.run(driver, members)
    return released(driver, consortium), driver._store.packets("preflight")


def with_masks(job: JobSpec, masks: bool) -> JobSpec:
    return tiny.with_privacy(replace(job, noise_seed=1), masks=masks)


def test_without_noise_masked_and_single_vectors_release_the_same_bytes() -> None:
    found = {}
    for masks in (True, False):
        job = with_masks(tiny.spec(tiny.NONE), masks)
        consortium = tiny.federation(job)
        found[masks] = run(job, tiny.custodians(consortium, job), consortium)
    assert found[True][0] == found[False][0]
    assert any(np.frombuffer(sums, dtype="<i8").any() for sums in found[True][0][:-1])
    # The comparison is of two different things: what each institution sent is not the same.
    assert all(found[True][1][name] != found[False][1][name] for name in found[True][1])


@pytest.mark.parametrize("privacy", [tiny.LOCAL, DISTRIBUTED], ids=["local", "distributed"])
def test_with_the_same_noise_under_both_plans_the_bytes_are_the_same(privacy) -> None:
    found = {}
    for masks in (True, False):
        job = with_masks(tiny.spec(privacy), masks)
        consortium = tiny.federation(job)
        members = {
            name: Custodian(
                one._site,
                one.ledger,
                new_noise_key=lambda name=name: SeededBitSource(1, name),
                noise_law=Counted(name),
            )
            for name, one in tiny.custodians(consortium, job).items()
        }
        found[masks] = run(job, members, consortium)[0]
    assert found[True] == found[False]
    quiet = with_masks(tiny.spec(tiny.NONE), True)
    consortium = tiny.federation(quiet)
    assert run(quiet, tiny.custodians(consortium, quiet), consortium)[0] != found[True]


@pytest.mark.parametrize(("masks", "label"), [("auto", "on"), ("off", "off (simulation)")])
def test_a_run_says_whether_it_was_masked(tmp_path, masks, label) -> None:
    table = own_table.write(tmp_path / "table.parquet", own_table.rows(1000))
    few = ["federation.banks=2", "federation.hospitals=1", "++model.rounds=1", "privacy.epsilon=8"]
    result = simulate([*own_table.overrides(table), *few, f"masks={masks}", f"run.dir={tmp_path / 'run'}"])
    assert (result.placement, result.masks) == ("distributed", label)
    plan = parse_plan((tmp_path / "run" / "plan.json").read_bytes())
    assert plan.privacy.masks is (label == "on")
    page = (tmp_path / "run" / "index.html").read_text(encoding="utf-8")
    assert f"placement: distributed · masks: {label.split()[0]}" in page
    sees = "only sums over all members" if label == "on" else "each institution&#39;s own noised vectors"
    assert f"The coordinator sees {sees}" in page
    assert all((own.epsilon_t > own.epsilon_planned) is (masks == "off") for own in result.privacy.values())


@pytest.mark.parametrize(("banks", "placement"), [(2, Placement.LOCAL), (3, Placement.DISTRIBUTED)])
def test_a_rival_of_one_type_runs_with_what_its_number_allows(banks, placement) -> None:
    institutions = tuple(tiny.institution(f"bank-{i}", "bank", seed=i) for i in range(banks))
    job = tiny.spec(DISTRIBUTED.model_copy(update={"masks": True}), rounds=1)
    outcome = run_same_type(
        tiny.dictionary(), (*institutions, tiny.institution("hospital-1", "hospital", seed=9)), "bank", job, "auto"
    )
    assert outcome.plan.privacy.placement is placement
    assert outcome.plan.privacy.masks is (banks >= 3)
    assert outcome.progress.next_phase == "done"
