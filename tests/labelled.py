"""The tiny consortium of `tests.tiny` with two group labels, which banks hold, and made-up labels beside its rows."""

from dataclasses import replace

import numpy as np
import yaml

from fedcredit.data.rows import Dataset
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.plan import EvaluationTerms
from simulations.federation import Federation, Institution, JobSpec, found
from tests import tiny

GROUPS = [
    {
        "name": name,
        "data_class": "sensitive",
        "purpose": "bias-examination",
        "codes": codes,
        "owners": ["bank"],
        "basis": "consent",
        "reason": "to see whether the score treats groups alike",
    }
    for name, codes in (("sex", {"f": "female", "m": "male"}), ("region", {"u": "urban", "r": "rural", "o": "other"}))
]
DICTIONARY = yaml.safe_dump({**yaml.safe_load(tiny.DICTIONARY), "groups": GROUPS}, sort_keys=False).encode()
GROUPINGS = ("type", "sex", "sex*region")


def dictionary() -> DataDictionary:
    return parse_dictionary(DICTIONARY)


def job(groupings: tuple[str, ...] = GROUPINGS) -> JobSpec:
    return replace(tiny.spec(), evaluation=EvaluationTerms(score_bins=10, groupings=groupings))


def labels(n: int, seed: int) -> np.ndarray:
    """Cells of sex and region, missing ones among them."""
    return np.random.default_rng(seed).integers(0, [3, 4], (n, 2)).astype(np.uint16)


def with_labels(data: Dataset, seed: int) -> Dataset:
    return replace(data, evaluate=replace(data.evaluate, groups=labels(data.evaluate.n_rows, seed)))


def institutions(seed: int = 0) -> tuple[Institution, ...]:
    """Two banks with labels and a hospital without."""
    members = tiny.federation().institutions
    return tuple(
        replace(one, data=with_labels(one.data, seed + index)) if one.kind == "bank" else one
        for index, one in enumerate(members)
    )


def federation(spec: JobSpec | None = None, seed: int = 0) -> Federation:
    return found(dictionary(), institutions(seed), spec or job())
