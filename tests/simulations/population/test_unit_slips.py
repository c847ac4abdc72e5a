"""A unit mistake inside the range, which no own check sees, stands out beside the released counts."""

import numpy as np
import pytest

from fedcredit.custodian.unit_slips import Reference, unit_slips
from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.job.released_counts import FeatureCounts
from fedcredit.preflight import count, read_release, vector_length
from simulations.population.consortium import BANK, Consortium, draw_consortium, institutions_in
from simulations.population.spec import PopulationSpec, UnitMistake
from simulations.population.tables import institution_table

# Monthly instead of yearly income.
MISTAKE = UnitMistake("bank-2", "income", 1 / 12)


@pytest.fixture(scope="module")
def consortium() -> Consortium:
    return draw_consortium(PopulationSpec(seed=5, persons=8_000, unit_mistakes=(MISTAKE,)))


def suspicions(drawn: Consortium, noise_stddev: float) -> list[tuple[str, str, str]]:
    """What every institution would say of its own columns after one preflight."""
    dictionary, spec = drawn.dictionary, drawn.population.spec
    sums = np.zeros(vector_length(dictionary), dtype=np.int64)
    for one in institutions_in(drawn):
        sums += count(dictionary, one.kind, one.data.train)[0]
    sums += np.rint(np.random.default_rng(6).normal(0, noise_stddev, sums.size)).astype(np.int64)
    variance = dict.fromkeys(range(len(dictionary.features)), round(noise_stddev**2))
    preflight = read_release(dictionary, sums, 1, variance)
    released = tuple(
        FeatureCounts(*one)
        for one in zip(dictionary.feature_names, preflight.counts, preflight.noise_stddev, strict=True)
    )
    return [
        (name, one.feature, one.factor)
        for name in (*spec.bank_ids, *spec.hospital_ids)
        for kind in [BANK if name in spec.bank_ids else "hospital"]
        for table in [institution_table(drawn.population, name, kind)]
        for one in unit_slips(dictionary, kind, identity_mapping(dictionary, kind), table, Reference(released, 0.8))
    ]


@pytest.mark.parametrize("noise_stddev", [0.0, 20.0])
def test_the_institution_and_the_column_are_named_and_no_other(consortium, noise_stddev) -> None:
    assert suspicions(consortium, noise_stddev) == [("bank-2", "income", "× 12")]
