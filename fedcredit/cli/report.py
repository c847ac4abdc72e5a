"""``fedcredit report RUN``: a finished job's report as a page, as JSON, and its model card."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from fedcredit.errors import ConfigError
from fedcredit.evaluation.decision import Economics
from fedcredit.evaluation.fairness import FEWEST_RECORDS
from fedcredit.report.inputs import Assumptions
from fedcredit.report.reading import read_inputs
from fedcredit.report.report import Report, report_of

_ASSUMED = Economics()


def report(  # noqa: PLR0913  (one per option)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write the page here; without any output option, report.html.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the report as JSON here.")] = None,
    card: Annotated[Path | None, typer.Option(help="Folder for the model card (Markdown and JSON).")] = None,
    lgd: Annotated[
        float, typer.Option(help="Loss given default, share of the exposure.")
    ] = _ASSUMED.loss_given_default,
    margin: Annotated[float, typer.Option(help="Margin on a good over the window, share.")] = _ASSUMED.margin,
    cut_off: Annotated[float | None, typer.Option(help="Decline from this PD; default: the break-even PD.")] = None,
    fewest: Annotated[int, typer.Option(min=1, help="Records that a group needs to be judged.")] = FEWEST_RECORDS,
    against: Annotated[Path | None, typer.Option(help="An earlier run, to compare populations with.")] = None,
) -> None:
    """Write the report of a finished job from its released files; no record is read and no privacy is spent."""
    assumptions = Assumptions(Economics(lgd, margin), cut_off_pd=cut_off, fewest_records=fewest)
    found = report_of(read_inputs(run, assumptions, against))
    if out is not None or (as_json is None and card is None):
        _write(out or Path("report.html"), _page(found))
    if as_json is not None:
        _write(as_json, found.to_text())
    if card is not None:
        _write_card(card, found)


def _page(found: Report) -> str:
    typer.echo("drawing the page …", err=True)
    drawings = _loaded("figures").figures_of(found)
    page: str = _loaded("page").render_page(found, drawings)
    return page


def _write_card(folder: Path, found: Report) -> None:
    module = _loaded("card")
    card = module.card_of(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--card {folder} cannot be made ({error.strerror}); name another folder.") from error
    _write(folder / "model-card.md", module.render_card(card))
    _write(folder / "model-card.json", card.to_text())


def _loaded(name: str) -> Any:  # noqa: ANN401  (a module)
    """A module of the extra, which no other command needs."""
    try:
        return import_module(f"fedcredit.report.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"pages and cards need {error.name}, which is not installed; run: pip install 'fedcredit[report]'."
        ) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); name another file.") from error
    typer.echo(f"wrote {path}")
