"""``fedcredit model pack|show|export``: a released model as one checked package, and for other systems."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedcredit.dictionary.mapping import load_mapping
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.errors import ConfigError
from fedcredit.models.joint_spec import FILES
from fedcredit.models.points import points_table
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.package.contents import JointView, ModelPackage, Scale
from fedcredit.package.joint_terms import fitted_terms, linked_run_of
from fedcredit.package.onnx_graph import onnx_model
from fedcredit.package.packing import package_files
from fedcredit.package.points_csv import points_csv
from fedcredit.package.sql_case import sql_query
from fedcredit.package.storage import load_package, write_package
from fedcredit.printable import printable
from fedcredit.provisioning.new_files import write_file

Part = TypeVar("Part", Scale, JointView)
_LARGEST_WEIGHT = 2
_PACKAGE = typer.Argument(metavar="PACKAGE", help="Folder or zip file of a model package.", show_default=False)


class Target(StrEnum):
    """What a model is exported to."""

    CSV = "csv"
    ONNX = "onnx"
    SQL = "sql"


def pack(  # noqa: PLR0913  (a command's options)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder, or new .zip file.", show_default=False)],
    *,
    base_score: Annotated[float, typer.Option(help="Points at the base odds.")] = 600.0,
    base_odds: Annotated[float, typer.Option(help="Good for each bad at the base score.")] = 50.0,
    points_to_double_odds: Annotated[float, typer.Option(help="Points that double the odds of good.")] = 20.0,
    joint_weight: Annotated[
        float | None, typer.Option(help="λ: share of a peer block's log-odds that joins the score; default: none.")
    ] = None,
    joint_source: Annotated[str | None, typer.Option(help="Where λ comes from; needed with it.")] = None,
    joint_step: Annotated[int, typer.Option(help="Step of a peer's number, in 1/1024 logit.")] = 256,
    linked: Annotated[
        Path | None,
        typer.Option(help="Job on linked rows, whose joint view is packed; default: RUN/linked, where it is there."),
    ] = None,
) -> None:
    """Pack a released scorecard with its dictionary, its lineage and the scale of its points; nothing is overwritten.

    'fedcredit verify RUN' tells first whether the run is what its members signed.
    """
    joint = _joint(run, linked, _by_hand(joint_weight, joint_source, joint_step))
    scale = _valid(
        Scale,
        {"base_score": base_score, "base_odds": base_odds, "points_to_double_odds": points_to_double_odds},
        "the scale",
    )
    write_package(package_files(run, scale, joint), out)
    package = load_package(out)
    typer.echo(f"wrote {out}: model package {package.digest}")
    if package.head.joint is not None:
        typer.echo(f"joint view: {package.head.joint.sentence}")
    if package.head.not_private:
        typer.echo("its run is a simulation or had no noise: NOT PRIVATE, never share one made from confidential data")


def show(
    package: Annotated[Path, _PACKAGE],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print package.json and its hash.")] = False,
) -> None:
    """Check every hash of a package, and print what it is and its points table."""
    loaded = load_package(package)
    if as_json:
        document = {"package_hash": loaded.digest, **loaded.head.model_dump(mode="json")}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for name, value in _facts(loaded):
        Console().print(f"[bold]{name}[/bold] {escape(printable(value))}", soft_wrap=True)
    table = Table("feature", "bin", "WoE", "IV", "points", title="Points", title_justify="left")
    for row in points_table(loaded.model.to_json(), loaded.head.scale.points_scale()):
        table.add_row(row.feature, escape(printable(row.label)), f"{row.woe:+.2f}", f"{row.iv:.3f}", str(row.points))
    Console().print(table)


def export(
    package: Annotated[Path, _PACKAGE],
    *,
    to: Annotated[Target, typer.Option(help="csv: points table; onnx: graph; sql: query.")],
    out: Annotated[Path | None, typer.Option(help="New file; csv and sql are printed without it.")] = None,
    view: Annotated[str | None, typer.Option(help="Institution type whose customers are scored.")] = None,
    table: Annotated[str, typer.Option(help="sql: name of the table.")] = "customers",
    mapping: Annotated[Path | None, typer.Option(help="sql: column mapping (YAML); default: same names.")] = None,
) -> None:
    """Export a package: the points table as CSV, an ONNX graph, or an SQL query."""
    loaded = load_package(package)
    content = _exported(loaded, to, view, table, mapping)
    if out is not None:
        write_file(out, content)
        typer.echo(f"wrote {out}")
    elif to is Target.ONNX:
        raise ConfigError("an ONNX graph is not text; name a new file with --out.")
    else:
        typer.echo(content.decode(), nl=False)


def _exported(package: ModelPackage, to: Target, view: str | None, table: str, mapping: Path | None) -> bytes:
    if to is Target.CSV:
        return points_csv(package).encode()
    chosen = package.view(view)
    if to is Target.ONNX:
        return onnx_model(package, chosen)
    return sql_query(package, chosen, table, load_mapping(mapping) if mapping else None).encode()


def _joint(run: Path, linked: Path | None, by_hand: JointView | None) -> JointView | None:
    if by_hand is not None and linked is not None:
        raise ConfigError("--linked and --joint-weight both say what joins a score; give one of them.")
    place = linked or linked_run_of(run)
    return by_hand if by_hand is not None or place is None else fitted_terms(run, place)


def _by_hand(weight: float | None, source: str | None, step: int) -> JointView | None:
    if weight is None:
        return None
    if not 0 < weight <= _LARGEST_WEIGHT:
        raise ConfigError(f"--joint-weight must lie above 0 and be at most {_LARGEST_WEIGHT}, got {weight:g}.")
    terms = {"weight": max(1, round(weight * WEIGHT_SCALE))}
    values = {"files": dict.fromkeys(FILES, terms), "source": source, "step": step}
    return _valid(JointView, values, "the joint view")


def _valid(kind: type[Part], values: dict[str, Any], what: str) -> Part:
    try:
        return kind.model_validate(values)
    except ValidationError as fault:
        raise ConfigError(listed(what, validation_problems(fault, values))) from None


def _facts(package: ModelPackage) -> list[tuple[str, str]]:
    head = package.head
    joint = "none: λ = 0, a peer's number changes nothing"
    if head.joint is not None:
        joint = head.joint.sentence
    return [
        ("package", package.digest),
        ("job", f"{head.job} ({head.purpose})"),
        ("created", head.created),
        ("family", package.model.family),
        ("dictionary", f"{package.dictionary.name} {head.dictionary}"),
        ("plan", head.lineage.plan),
        ("roster", head.lineage.roster),
        ("receipts", ", ".join(sorted(head.lineage.receipts)) or "none"),
        ("scale", head.scale.points_scale().sentence),
        ("joint view", joint),
        *([("NOT PRIVATE", "made by a simulation or without noise")] if head.not_private else []),
    ]
