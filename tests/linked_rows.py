"""Made-up banks with linked rows whose truth is known: the bad log-odds are ``a + b own + λ other``."""

import numpy as np

from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.linked.dictionary import OTHER_STEP, linked_dictionary
from fedcredit.linked.scores import linked_cells
from fedcredit.models.joint_spec import FILES, Fit, JointSpec
from fedcredit.plan import EvaluationTerms, PrivacyTerms
from fedcredit.planning import BudgetShares
from simulations.federation import Federation, Institution, JobSpec, found
from tests import tiny

TRUTH = {"thin": (0.2, 0.8, 0.9), "thick": (-0.1, 1.1, 0.4)}
MODEL_HASH = bytes(range(32))


def dictionary() -> DataDictionary:
    return linked_dictionary(tiny.dictionary(), "bank", "hospital", MODEL_HASH)


def rows(n: int, seed: int, truth=None) -> Rows:
    generator = np.random.default_rng(seed)
    own = generator.normal(-1.7, 0.8, n)
    other = 0.3 * (own + 1.7) + generator.normal(0, 0.6, n)
    steps = np.rint(other / OTHER_STEP).astype(np.int64)
    files = (generator.random(n) > 0.25).astype(np.int64)
    a, b, weight = np.array([(truth or TRUTH)[name] for name in FILES])[files].T
    bad = generator.random(n) < 1 / (1 + np.exp(-(a + b * own + weight * steps * OTHER_STEP)))
    return single(linked_cells(dictionary(), own, steps, files), bad.astype(np.uint8))


def institution(name: str, n: int, seed: int, truth=None) -> Institution:
    train, evaluate = rows(n, seed, truth), rows(n // 4, seed + 1000, truth)
    return Institution(name, "bank", Dataset("bank", train, evaluate, bytes([seed]) * 32))


def job(privacy: PrivacyTerms = tiny.LOCAL, fit: Fit = "by_file") -> JobSpec:
    return JobSpec("linked", JointSpec(fit=fit), privacy, BudgetShares(15, 69, 6), EvaluationTerms(score_bins=10))


def federation(of: JobSpec, n: int = 400, truth=None) -> Federation:
    banks = tuple(institution(f"bank-{seed}", n, seed, truth) for seed in (1, 2, 3))
    return found(dictionary(), banks, of)
