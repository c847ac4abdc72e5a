"""The folder of one run: everything that was run, found and drawn; stamped NOT PRIVATE, since its tables are exact.

It is filled under a temporary name beside its place and renamed at the end, so a failed run leaves nothing
half-written.
"""

import csv
import io
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import yaml

from fedcredit.errors import ConfigError
from fedcredit.job.released import released_files
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.models.module_tensors import weight_files
from fedcredit.models.points import PointsRow, points_table
from fedcredit.report.figures import figures_of
from fedcredit.report.inputs import Assumptions
from fedcredit.report.page import render_page
from fedcredit.report.reading import STAMP, read_inputs
from fedcredit.report.report import report_of
from fedcredit.verify.run_files import RELEASED, STORE
from fedcredit.wire.canonical import canonical_json
from server.results import write_files
from simulations.run import Finished, Prepared

NOT_PRIVATE = (
    "NOT PRIVATE: this folder holds exact figures of a simulation. Never share one made from confidential data.\n"
)


class RunFolder:
    """A run folder in the making; use as a context manager.

    Parameters
    ----------
    final
        Where it goes; None makes ``runs/<time>``.

    Attributes
    ----------
    final
        Where it goes, absolute.
    path
        Where it is filled, once entered.

    Raises
    ------
    ConfigError
        If the place is taken.
    """

    def __init__(self, final: Path | None) -> None:
        named = final or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self.final = named.absolute()
        if self.final.exists():
            raise ConfigError(f"run.dir={named} exists already; choose a new folder or remove it.")
        self.path = self.final

    def __enter__(self) -> Self:
        # A name of its own, so that two runs into one place never write into each other.
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            self.path = Path(mkdtemp(prefix=f".{self.final.name}.", suffix=".partial", dir=self.final.parent))
        except OSError as error:
            raise ConfigError(f"run.dir={self.final} cannot be made ({error.strerror}); choose another.") from error
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                self.path.rename(self.final)
        except OSError as error:
            raise ConfigError(f"run.dir={self.final} was taken meanwhile; run again into a new folder.") from error
        finally:
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, config: Mapping[str, Any], prepared: Prepared, finished: Finished) -> None:
        """Write every file of the run; the report comes last, since it is read from the others."""
        outcome = finished.outcome
        released = family_of(outcome.plan.model.family).release(outcome.progress.state)
        texts = {
            STAMP: NOT_PRIVATE,
            "config.yaml": yaml.safe_dump(
                {key: value for key, value in config.items() if key != "hydra"}, sort_keys=False
            ),
            "plan.json": outcome.plan.to_bytes().decode(),
            "model.json": canonical_json(released).decode(),
            "points.csv": _csv(points_table(released)),
            "metrics.json": finished.result.to_json(),
        }
        for name, text in texts.items():
            (self.path / name).write_text(text, encoding="utf-8")
        for name, content in weight_files(released).items():
            (self.path / name).write_bytes(content)
        self._release(prepared, finished)
        self._report()

    def _report(self) -> None:
        """Write the page, its JSON and its drawings."""
        report = report_of(read_inputs(self.path, Assumptions()))
        drawings = figures_of(report)
        (self.path / "figures").mkdir()
        for drawing in drawings:
            (self.path / "figures" / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
        (self.path / "index.html").write_text(render_page(report, drawings), encoding="utf-8")
        (self.path / "report.json").write_text(report.to_text(), encoding="utf-8")

    def _release(self, prepared: Prepared, finished: Finished) -> None:
        """Write what a deployed coordinator would, for `fedcredit verify`; over Flower it is there already."""
        outcome, folder = finished.outcome, self.path / RELEASED
        if folder.exists():
            return
        with JobStore(self.path / STORE, outcome.plan.to_bytes()) as store:
            receipts = store.packets("release")
        write_files(folder, released_files(outcome.plan, prepared.dictionary, outcome.progress, receipts))


def _csv(rows: tuple[PointsRow, ...]) -> str:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["feature", "bin", "label", "woe", "iv", "coefficient", "points"])
    for row in rows:
        writer.writerow([row.feature, row.bin, row.label, row.woe, row.iv, row.coefficient, row.points])
    return target.getvalue()
