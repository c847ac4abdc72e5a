"""The jobs of `circumstances` in which records are counted by group, or new ones under a model that is watched."""

from dataclasses import replace

import numpy as np

from fedcredit.errors import DictionaryError
from fedcredit.evaluation.fairness import GroupCells, group_figures
from fedcredit.evaluation.phase import decode
from fedcredit.evaluation.score_grid import score_bins
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.wire.messages import Role
from simulations.federation import Federation, JobSpec, custodian_of, found
from tests import labelled, tiny
from tests import privacy_checks as checks
from tests.privacy.transcripts import Lines, Transcript, after_join, joined_only, whole_job


def labelled_job() -> Lines:
    """Two banks that hold group labels and a hospital that does not."""
    job = labelled.job()
    return whole_job(job, labelled.federation(job))


def unnamed_label() -> Lines:
    """A plan that counts group labels, under a policy that names none."""
    consortium = labelled.federation()
    plain = custodian_of(consortium, consortium.institutions[0], labelled.job(), None)
    policy = plain._site.policy.model_copy(update={"bias_examination": ()})
    return joined_only(consortium, checks.restarted(plain, policy=policy))


def label_as_feature() -> Lines:
    """A dictionary in which a feature is held for the examination of bias."""
    base = tiny.dictionary()
    features = [one.model_dump() for one in base.features]
    features[0]["purpose"] = "Bias examination"
    try:
        dictionary = type(base).model_validate({**base.model_dump(), "features": features})
    except (DictionaryError, ValueError):
        return ["refused dictionary"]
    return whole_job(tiny.spec(), found(dictionary, tiny.federation().institutions, tiny.spec()))


def small_groups() -> Lines:
    """What a report says of three groups, one of them of nine records."""
    grid = score_bins(6, -2.0, 2.0, 1024)
    sizes = {"many": 400.0, "some": 90.0, "nine": 0.75}
    groups = tuple(GroupCells(name, np.full(6, size), np.full(6, size), 1.0) for name, size in sizes.items())
    reference, figures = group_figures(groups, grid, 2)
    return [f"figures {reference}", *(f"figures {one}" for one in figures)]


def watching() -> tuple[JobSpec, Federation]:
    """A job that watches the model of the plain job."""
    job = tiny.spec()
    scored = decode(checks.models(tiny.federation(job), job)[Role.EVALUATE])
    spec = MonitorSpec(
        trained_by="ab" * 32,
        scored=job.model,
        model=scored.model.hex(),
        score_low=scored.low,
        score_high=scored.high,
        score_bins=job.evaluation.score_bins,
    )
    monitoring = replace(job, model=spec, name="watch")
    return monitoring, tiny.federation(monitoring)


def monitoring_job() -> Lines:
    job, consortium = watching()
    return whole_job(job, consortium)


def monitored_otherwise() -> Lines:
    """A round that brings another model than the plan's, by 1/1024 logit of an intercept."""
    job, consortium = watching()
    model = job.model.model_bytes
    other = model[:-4] + bytes([model[-4] ^ 1]) + model[-3:]

    def steps(out: Transcript, bank: object) -> None:
        out.ask_message(bank, checks.round_request(consortium, Role.PREFLIGHT, b""))
        out.ask_message(bank, checks.round_request(consortium, Role.TRAIN, other))

    return after_join(steps, consortium, job)


ALL = (labelled_job, unnamed_label, label_as_feature, small_groups, monitoring_job, monitored_otherwise)
