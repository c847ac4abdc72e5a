"""Where the figures of a registered model are read: its run's counts, its package, a report or an evaluation.

A report in JSON tells sampling and noise apart, and so do a run's released counts. An ``evaluation.json`` does so for
the AUC; of its other figures it has the interval alone. Figures that are given as a file of their own must be about the
registered model, as far as hashes tell.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.evaluation.figure import Z95_SQUARED, Figure, of_estimate, unknown
from fedcredit.evaluation.intervals import auc_estimate, brier_estimate, ks_estimate
from fedcredit.job.released_counts import parse_counts
from fedcredit.package.contents import EVALUATION, HEAD, MODEL
from fedcredit.package.storage import load_package
from fedcredit.report.discrimination import overall_cells
from fedcredit.report.report import SCHEMA
from fedcredit.verify.run_files import RELEASED, find_run
from fedcredit.wire.canonical import parse_json

NAMES = ("auc", "ks", "brier")
_COUNTS = "counts.json"
_NOT_EVALUATED = "the job was not evaluated"


def figures_of(model: Path, given: Path | None = None) -> dict[str, Figure]:
    """AUC, KS and Brier score of a registered model.

    Parameters
    ----------
    model
        Where the model lies: the folder of a run, or a package.
    given
        A report's JSON or an ``evaluation.json`` instead, where the model's place has no figures.

    Raises
    ------
    ConfigError
        If there are no figures, they cannot be read, or those given are of another model.
    """
    if given is not None:
        return _from_file(given, _hashes(model))
    if _is_package(model):
        content = load_package(model).evaluation
        if content is None:
            raise ConfigError(
                f"package {model} holds no figures; name its report with --champion-figures or --challenger-figures."
            )
        return _of_evaluation(_object(content, model))
    if model.is_file():
        return _from_file(model, {})
    run = find_run(model, None)
    if (counts := run.read(_COUNTS)) is not None:
        return _of_counts(counts)
    if (evaluation := run.read(EVALUATION)) is not None:
        return _of_evaluation(_object(evaluation, model))
    raise ConfigError(f"{model} holds neither {_COUNTS} nor {EVALUATION}; add the folder of a finished run.")


def _is_package(model: Path) -> bool:
    return (model / HEAD).is_file() if model.is_dir() else model.suffix.lower() == ".zip"


def _hashes(model: Path) -> dict[str, str]:
    """SHA-256 of what the model's job released, by name, as far as its place tells."""
    if _is_package(model):
        return dict(load_package(model).head.lineage.released)
    folder = model / RELEASED if (model / RELEASED).is_dir() else model
    files = [folder / name for name in (MODEL, EVALUATION)] if folder.is_dir() else []
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def _from_file(path: Path, hashes: Mapping[str, str]) -> dict[str, Figure]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"figures {path} cannot be read ({error.strerror}); give a report.json.") from None
    values = _object(content, path)
    if "schema" not in values:
        found, wanted = sha256(content).hexdigest(), hashes.get(EVALUATION)
        _require_same(path, found, wanted)
        return _of_evaluation(values)
    if values["schema"] != SCHEMA:
        raise ConfigError(f"{path} has schema {values['schema']!r:.40}, not {SCHEMA}; make the report again.")
    try:
        _require_same(path, values["signatures"]["files"].get(MODEL), hashes.get(MODEL))
        places = {"auc": "discrimination", "ks": "discrimination", "brier": "calibration"}
        parts = {name: values[place]["overall"] for name, place in places.items()}
        return {name: unknown(_NOT_EVALUATED) if of is None else Figure(**of[name]) for name, of in parts.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no report of ours ({error!r}); make it with 'fedcredit report --json'.") from None


def _require_same(path: Path, found: str | None, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        raise ConfigError(f"{path} is about another model than the registered one; give the figures of its own job.")


def _of_counts(content: bytes) -> dict[str, Figure]:
    counts = parse_counts(content)
    if counts.grid is None:
        return dict.fromkeys(NAMES, unknown(_NOT_EVALUATED))
    cells = overall_cells(counts)
    why = cells.why or "too few records for the noise"
    good, bad, noise = cells.good, cells.bad, cells.noise_stddev
    found = auc_estimate(good, bad, noise), ks_estimate(good, bad, noise), brier_estimate(good, bad, counts.grid, noise)
    return {name: of_estimate(one, why) for name, one in zip(NAMES, found, strict=True)}


def _of_evaluation(values: Mapping[str, Any]) -> dict[str, Figure]:
    if not values:
        return dict.fromkeys(NAMES, unknown(_NOT_EVALUATED))
    try:
        return {name: _figure(values, name) for name in NAMES}
    except KeyError as error:
        raise ConfigError(
            f"an evaluation lacks {error}; name the {EVALUATION} or report of a job of this version."
        ) from error


def _figure(values: Mapping[str, Any], name: str) -> Figure:
    value, low, high = (values[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None:
        return unknown(str(values.get("unavailable")))
    parts = values.get(f"{name}_sampling_stddev"), values.get(f"{name}_noise_stddev")
    return Figure(value, low, high, *parts)


def total_stddev(figure: Figure) -> float:
    """Sampling and noise together, from the interval."""
    if figure.low is None or figure.high is None:
        return 0.0
    return (figure.high - figure.low) / (2 * math.sqrt(Z95_SQUARED))


def _object(content: bytes, where: Path) -> dict[str, Any]:
    try:
        value = parse_json(content)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON ({error}); give a report.json or an {EVALUATION}.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{where} holds no JSON object; give a report.json or an {EVALUATION}.")
    return value
