"""What a package says of a joint view: the coefficients that a job on linked rows released.

The linked job's dictionary follows from the base dictionary, the released base model and whose block is added, so
deriving it again shows that the coefficients belong to this model, and tells the block. A score has to be a sum of
points per feature; what is no such sum is refused.
"""

from pathlib import Path

from pydantic import ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.linked.dictionary import OTHER_STEP, added_blocks, linked_dictionary
from fedcredit.linked.released import model_hash
from fedcredit.models.joint_release import JointView as FittedView
from fedcredit.models.joint_release import read_joint_view
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.package.contents import DICTIONARY, MODEL, JointView
from fedcredit.plan import Plan, parse_plan
from fedcredit.report.reading import LINKED
from fedcredit.verify.run_files import RELEASED, RunFiles, find_run
from fedcredit.wire.canonical import parse_json

_PLAN = "plan.json"


def linked_run_of(run: Path) -> Path | None:
    """The job on linked rows that a simulation keeps beside its base job; None where there is none."""
    outer = run.parent if run.name == RELEASED else run
    return outer / LINKED if (outer / LINKED).is_dir() else None


def fitted_terms(run: Path, linked: Path) -> JointView | None:
    """Read the joint view that follows a run; None where every λ is 0.

    Parameters
    ----------
    run
        Folder of the base job.
    linked
        Folder of the job on linked rows.

    Raises
    ------
    ConfigError
        If a file is missing, the job is about another model, or its view cannot be told as points per feature.
    """
    base, after = find_run(run, None), find_run(linked, None)
    plan, view = parse_plan(_content(after, _PLAN)), read_joint_view(_json(after))
    other = _other_kind(base, plan, view)
    if other is None:
        raise ConfigError(f"{linked} is a job on linked rows of another model than {run}; name the one that followed.")
    _require_sum(view)
    dictionary = _dictionary(base)
    blocks = added_blocks(dictionary, view.view, other)
    if len(blocks) > 1:
        raise ConfigError(
            f"the joint view of {linked} adds the blocks {' and '.join(blocks)} as one number; scoring asks a peer for "
            "one block, so pack without it (--joint-weight says λ by hand)."
        )
    if not any(one.weight for one in view.files.values()):
        return None
    return _checked(view, blocks[0], f"job {plan.job}, plan {plan.digest().hex()}")


def _checked(view: FittedView, block: str, source: str) -> JointView:
    values = {
        "files": {name: _coefficients(view, name) for name in view.files},
        "view": view.view,
        "block": block,
        "step": round(OTHER_STEP * WEIGHT_SCALE),
        "source": source,
    }
    try:
        return JointView.model_validate(values)
    except ValidationError as fault:
        raise ConfigError(listed("the released joint view", validation_problems(fault, values))) from None


def _coefficients(view: FittedView, name: str) -> dict[str, int]:
    one = view.files[name]
    return {"intercept": one.intercept, "slope": one.slope, "weight": one.weight}


def _require_sum(view: FittedView) -> None:
    if any(value for row in view.surface for value in row):
        raise ConfigError(
            f"a joint view fitted as {view.fit!r} corrects by both scores at once, which are points of no single "
            "feature; fit by_file, or pack with --joint-weight."
        )


def _other_kind(base: RunFiles, plan: Plan, view: FittedView) -> str | None:
    """Institution type whose block the linked job added to this very model; None where it is about another one."""
    dictionary, model = _dictionary(base), model_hash(_json(base))
    for other in dictionary.kinds:
        if other == view.view or view.view not in dictionary.kinds:
            continue
        try:
            derived = linked_dictionary(dictionary, view.view, other, model)
        except ConfigError:  # this type has no block to add
            continue
        if derived.digest().hex() == plan.dictionary:
            return other
    return None


def _dictionary(found: RunFiles) -> DataDictionary:
    return parse_dictionary(_content(found, DICTIONARY), DICTIONARY)


def _json(found: RunFiles) -> dict[str, object]:
    try:
        value = parse_json(_content(found, MODEL))
    except ValueError as error:
        raise ConfigError(f"{found.released / MODEL} is not JSON ({error}); restore it.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{found.released / MODEL} holds no model; restore it.")
    return value


def _content(found: RunFiles, name: str) -> bytes:
    content = found.read(name)
    if content is None:
        raise ConfigError(f"{found.released} holds no {name}; name the folder of a finished run.")
    return content
