"""A population as files: one Parquet table an institution, the contract with its mappings, and the truth apart.

The folder appears under its name only when it is whole.
"""

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pyarrow.parquet as pq
import yaml

from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.errors import ConfigError
from simulations.population.drawing import SYNTHETIC, Population
from simulations.population.tables import consortium_dictionary, dictionary_text, institution_table, truth_table

TRUTH = "truth.parquet"


def write_population(population: Population, folder: Path) -> tuple[Path, ...]:
    """Write everything into a new folder.

    Returns
    -------
    tuple of Path
        The files, in the order written.

    Raises
    ------
    ConfigError
        If the folder exists or cannot be made.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose a new folder or remove it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror}); choose another.") from error
    try:
        _fill(population, partial)
        partial.rename(folder)
    finally:
        rmtree(partial, ignore_errors=True)
    return tuple(sorted(folder.iterdir()))


def _fill(population: Population, folder: Path) -> None:
    (folder / "SYNTHETIC.txt").write_text(f"{SYNTHETIC}\n\nDrawn from: {population.spec}\n", encoding="utf-8")
    (folder / "dictionary.yaml").write_text(dictionary_text(), encoding="utf-8")
    spec = population.spec
    for kind, names in (("bank", spec.bank_ids), ("hospital", spec.hospital_ids)):
        mapping = identity_mapping(consortium_dictionary(), kind).model_dump(mode="json")
        text = f"# {SYNTHETIC}\n{yaml.safe_dump(mapping, sort_keys=False)}"
        (folder / f"mapping-{kind}.yaml").write_text(text, encoding="utf-8")
        for name in names:
            pq.write_table(institution_table(population, name, kind), folder / f"{name}.parquet", compression="zstd")
    pq.write_table(truth_table(population), folder / TRUTH, compression="zstd")
