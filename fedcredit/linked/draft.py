"""From a finished base job to the files of the linked job: PLAN.yaml for the coordinator, SITE.yaml for each holder.

The linked job keeps the base job's promise (placement, unit, delta, colluders) and purpose. What is new: the family
``joint``, so that λ is fitted and not declared by hand; the linked dictionary's hash; and an epsilon of its own.
"""

from pathlib import Path
from typing import Any

import yaml

from fedcredit.custodian.site_file import load_site_file, site_mapping
from fedcredit.dictionary.schema import DataDictionary, load_dictionary, parse_dictionary
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.linked.budget import SHARES
from fedcredit.linked.dictionary import linked_dictionary
from fedcredit.linked.released import model_hash
from fedcredit.models.joint_spec import Fit, JointSpec
from fedcredit.plan import Placement, Plan, parse_plan
from fedcredit.verify.run_files import RunFiles, find_run
from fedcredit.wire.canonical import parse_json

_HEAD = (
    "# A linked job: fits the joint view (intercept, slope and λ, {fit}) over consented linked rows of {kind}\n"
    "# customers, on top of job {job}; made by 'fedcredit linked plan'. Its roster lists their holders only.\n"
)


def base_plan(run: Path) -> Plan:
    """The plan of a finished base job.

    Raises
    ------
    ConfigError
        If the folder holds none.
    """
    return parse_plan(_required(find_run(run, None), "plan.json"))


def linked_plan_yaml(run: Path, linked: DataDictionary, job: str, epsilon: float | None, fit: Fit) -> str:
    """PLAN.yaml of a linked job.

    Parameters
    ----------
    run
        Folder of the finished base job.
    linked
        The linked dictionary.
    job
        Name of the new job.
    epsilon
        Of the whole linked job; None exactly where the base job had no noise.

    Raises
    ------
    ConfigError
        If the dictionary is not made of this run's model, or epsilon and the base job's noise do not go together.
    """
    plan, kind = base_plan(run), linked.kinds[0]
    require_made_of(linked, run)
    if (epsilon is None) != (plan.privacy.placement is Placement.NONE):
        raise ConfigError(
            f"job {plan.job} has placement {plan.privacy.placement.value}; give --epsilon exactly where there is noise."
        )
    terms = plan.privacy.model_dump(mode="json", exclude={"reserve_percent", "epsilon"}, exclude_none=True)
    document = {
        "job": job,
        "purpose": plan.purpose,
        "dictionary": linked.digest().hex(),
        "model": JointSpec(fit=fit).model_dump(mode="json"),
        "privacy": terms if epsilon is None else {**terms, "epsilon": epsilon},
        "shares": {"preflight": SHARES.preflight, "train": SHARES.train, "evaluate": SHARES.evaluate},
        "evaluation": {"score_bins": plan.evaluation.score_bins, "groupings": ["type"]},
        "evaluation_percent": plan.evaluation_percent,
    }
    head = _HEAD.format(fit=fit, kind=kind, job=plan.job)
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def require_made_of(linked: DataDictionary, run: Path) -> None:
    """Check that a linked dictionary follows from a run's dictionary and released model.

    Raises
    ------
    ConfigError
        If it does not.
    """
    files = find_run(run, None)
    base = parse_dictionary(_required(files, "dictionary.yaml"), f"{run}: dictionary.yaml")
    try:
        model = model_hash(parse_json(_required(files, "model.json")))
    except ValueError:
        raise ConfigError(f"{files.released}/model.json is not JSON; name the folder of a finished run.") from None
    kind = linked.kinds[0]
    made = (
        linked_dictionary(base, kind, other, model).digest()
        for other in base.kinds
        if kind in base.kinds and set(base.institution_type(other).owns) - set(base.institution_type(kind).owns)
    )
    if linked.digest() not in made:
        raise ConfigError(
            f"dictionary {linked.name!r} is not made of the model in {run}; write it with 'fedcredit linked "
            "dictionary' from that run's dictionary.yaml and model.json."
        )


def linked_site_yaml(site: Path, dictionary: Path, data: Path) -> str:
    """The base job's SITE.yaml, for the linked job: another dictionary and table, everything else the same.

    Parameters
    ----------
    site
        SITE.yaml of the base job.
    dictionary, data
        The linked dictionary and the linked table (.parquet); paths as they shall stand in the file.

    Raises
    ------
    ConfigError
        If the dictionary is of another institution type, or roles are declared by a column, which a linked table lacks.
    """
    file, linked = load_site_file(site), load_dictionary(site.resolve().parent / dictionary)
    if linked.kinds != (file.kind,):
        raise ConfigError(
            f"{dictionary} is for {', '.join(linked.kinds)} and {file.institution} is a {file.kind}; use its own."
        )
    if site_mapping(file, load_dictionary(file.dictionary)).split is not None:
        raise ConfigError(
            "the mapping says by a column who trains and who tests, which linked rows do not carry; let the data key "
            "draw the roles of both jobs."
        )
    document: dict[str, Any] = parse_yaml(site.read_bytes(), f"site file {site}")
    document |= {"dictionary": str(dictionary), "data": {"kind": "parquet", "path": str(data)}}
    document.pop("mapping", None)
    return "# Of a linked job; made by 'fedcredit linked site'.\n" + yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True
    )


def _required(files: RunFiles, name: str) -> bytes:
    content = files.read(name)
    if content is None:
        raise ConfigError(f"{files.released} holds no {name}; name the folder of the finished base job.")
    return content
