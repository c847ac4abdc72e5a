"""The folder of one run: everything that was run, found and drawn; stamped NOT PRIVATE, since its tables are exact.

It is filled under a temporary name beside its place and renamed at the end, so a failed run leaves nothing
half-written.
"""

import csv
import io
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import yaml

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.job.released import released_files
from fedcredit.job.store import JobStore
from fedcredit.models.family import family_of
from fedcredit.models.module_tensors import weight_files
from fedcredit.models.points import PointsRow, points_table
from fedcredit.report.reading import LINKED
from fedcredit.verify.run_files import RELEASED, STORE
from fedcredit.wire.canonical import canonical_json
from server.results import write_files
from simulations.federation import JobOutcome
from simulations.population.drawing import SYNTHETIC
from simulations.population.segment_files import segments_csv, segments_json
from simulations.run import Finished, Prepared
from simulations.stamp import stamp


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
            "config.yaml": yaml.safe_dump(
                {key: value for key, value in config.items() if key != "hydra"}, sort_keys=False
            ),
            "plan.json": outcome.plan.to_bytes().decode(),
            "model.json": canonical_json(released).decode(),
            "points.csv": _csv(points_table(released)),
            "metrics.json": finished.result.to_json(),
            **_segment_texts(finished),
        }
        stamp(self.path)
        for name, text in texts.items():
            (self.path / name).write_text(text, encoding="utf-8")
        for name, content in weight_files(released).items():
            (self.path / name).write_bytes(content)
        _release(self.path, prepared.dictionary, outcome)
        if finished.joint_view is not None:
            _release(self.path / LINKED, finished.joint_view.linked, finished.joint_view.job)
        # Imported at the end: what draws takes as long to load as a thousand institutions to train.
        import_module("simulations.run_page").write_page(self.path, finished.segments)


def _release(place: Path, dictionary: DataDictionary, outcome: JobOutcome) -> None:
    """Write what a deployed coordinator would, for `fedcredit verify`; over Flower it is there already.

    With the stamp: the noise may be seeded, and these files look like a deployment's wherever they are copied to.
    """
    folder = place / RELEASED
    if not folder.exists():
        with JobStore(place / STORE, outcome.plan.to_bytes()) as store:
            receipts = store.packets("release")
        write_files(folder, released_files(outcome.plan, dictionary, outcome.progress, receipts))
    stamp(folder)


def _segment_texts(finished: Finished) -> dict[str, str]:
    """What a run over a drawn population has besides."""
    if not finished.segments:
        return {}
    return {
        "SYNTHETIC.txt": f"{SYNTHETIC}\n",
        "segments.json": segments_json(finished.segments),
        "segments.csv": segments_csv(finished.segments),
    }


def _csv(rows: tuple[PointsRow, ...]) -> str:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["feature", "bin", "label", "woe", "iv", "coefficient", "points"])
    for row in rows:
        writer.writerow([row.feature, row.bin, row.label, row.woe, row.iv, row.coefficient, row.points])
    return target.getvalue()
