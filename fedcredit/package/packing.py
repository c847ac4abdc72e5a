"""From a finished run to a package: the released files as they are, and the hashes of what they follow from."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.models.scorecard_release import BINNED_FAMILIES
from fedcredit.package.contents import DICTIONARY, EVALUATION, HEAD, MODEL, Head, JointView, Lineage, Scale
from fedcredit.package.storage import checked_package
from fedcredit.plan import Placement, parse_plan
from fedcredit.verify.run_files import RunFiles, find_run
from fedcredit.wire.canonical import canonical_json, parse_json

_PLAN = "plan.json"


def package_files(run: Path, scale: Scale, joint: JointView | None, now: datetime | None = None) -> dict[str, bytes]:
    """Make the files of a package from a run.

    Parameters
    ----------
    run
        Folder of a finished run, or its released files.
    scale
        Of the points.
    joint
        How a peer's number joins the score; None for λ = 0.

    Returns
    -------
    dict
        Bytes by name, checked as `fedcredit.package.storage.load_package` does.

    Raises
    ------
    ConfigError
        If a file is missing, the plan names another dictionary, or the model has no points table.
    """
    found = find_run(run, None)
    contents = {name: _required(found, name) for name in (_PLAN, MODEL, DICTIONARY)}
    _require_table(contents[MODEL], run)
    plan = parse_plan(contents.pop(_PLAN))
    if (evaluation := found.read(EVALUATION)) is not None:
        contents[EVALUATION] = evaluation
    dictionary = parse_dictionary(contents[DICTIONARY], f"{run}: {DICTIONARY}").digest().hex()
    if dictionary != plan.dictionary:
        raise ConfigError(
            f"{run}: the plan names dictionary {plan.dictionary[:16]}…, dictionary.yaml is {dictionary[:16]}…; "
            "the files are of two runs."
        )
    head = Head(
        job=plan.job,
        purpose=plan.purpose,
        created=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        not_private=plan.privacy.placement is Placement.NONE or found.simulated,
        dictionary=dictionary,
        files={name: _hash(content) for name, content in contents.items()},
        lineage=_lineage(found, plan.digest().hex(), plan.roster.digest().hex()),
        scale=scale,
        joint=joint,
    )
    files = {**contents, HEAD: canonical_json(head.model_dump(mode="json"))}
    checked_package(files, str(run))
    return files


def _lineage(found: RunFiles, plan: str, roster: str) -> Lineage:
    receipts = {name: _hash(envelope) for name, envelope in found.receipts(".envelope").items()}
    released = {
        path.name: _hash(path.read_bytes())
        for path in sorted(found.released.iterdir())
        if path.is_file() and path.suffix in {".json", ".yaml"}
    }
    return Lineage(plan=plan, roster=roster, receipts=receipts, released=released)


def _required(found: RunFiles, name: str) -> bytes:
    content = found.read(name)
    if content is None:
        raise ConfigError(f"{found.released} holds no {name}; name the folder of a finished run.")
    return content


def _require_table(model: bytes, run: Path) -> None:
    try:
        released = parse_json(model)
    except ValueError:
        released = None
    family = released.get("family") if isinstance(released, dict) else None
    if family not in BINNED_FAMILIES:
        raise ConfigError(
            f"{run}: a model of family {family!r:.40} has no points table; "
            f"only {' and '.join(BINNED_FAMILIES)} are packed."
        )


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()
