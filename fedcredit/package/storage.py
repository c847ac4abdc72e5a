"""A package on disk: a folder, or one zip file. Nothing in it is run, and nothing is used before every hash holds."""

import errno
import io
import zipfile
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

from pydantic import ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.schema import DataDictionary, Feature, parse_dictionary
from fedcredit.errors import ConfigError, DictionaryError
from fedcredit.models.bin_labels import bin_label
from fedcredit.models.scorecard_release import BinnedModel, ScorecardFeature, read_release
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE
from fedcredit.package.contents import DICTIONARY, EVALUATION, HEAD, MODEL, Head, ModelPackage, package_digest
from fedcredit.provisioning.new_files import write_file
from fedcredit.wire.canonical import parse_json

_NAMES = (HEAD, MODEL, DICTIONARY)
_ALL = (*_NAMES, EVALUATION)
_LONGEST_BYTES = 16 * 2**20
_LONGEST_ZIP = 3 * _LONGEST_BYTES + 2**16
_MOST_RECORDS = 2.0**53
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)


def load_package(path: Path) -> ModelPackage:
    """Read a package and check all that it says of itself.

    Raises
    ------
    ConfigError
        If it is no package, or with every hash and every part that does not fit.
    """
    return checked_package(_read(path), str(path))


def unpacked(content: bytes, where: str) -> dict[str, bytes]:
    """Take a package's files out of the bytes of a zip file; nothing else in it is read.

    Raises
    ------
    ConfigError
        If they are none, or hold no package.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            there = _present(dict.fromkeys(archive.namelist()))
            return {name: _entry(archive, name) for name in dict.fromkeys((*_NAMES, *there))}
    except KeyError as error:
        raise ConfigError(
            f"{where} is no model package: {error.args[0]}; make one with 'fedcredit model pack'."
        ) from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ConfigError(f"{where} is no model package ({error}); give its folder or its zip file.") from None


def checked_package(files: Mapping[str, bytes], where: str) -> ModelPackage:
    """Check the files of a package; see `load_package`.

    Parameters
    ----------
    files
        Bytes by name.
    where
        Name for messages.
    """
    head = _head(files[HEAD], where)
    problems = [
        f"{name} is not the file that was packed (SHA-256 {_hash(files.get(name, b''))[:16]}…, "
        f"package.json says {stated[:16]}…); take it from the packer again"
        for name, stated in head.files.items()
        if _hash(files.get(name, b"")) != stated
    ]
    problems += [
        f"{name} is not the one that the job released, by its lineage; pack the run again"
        for name in head.files
        if head.lineage.released.get(name) != head.files.get(name)
    ]
    if problems:
        raise ConfigError(listed(f"model package {where}", problems))
    model, dictionary = _model(files[MODEL], where), _dictionary(files[DICTIONARY], where)
    problems = _misfits(head, model, dictionary)
    if problems:
        raise ConfigError(listed(f"model package {where}", problems))
    evaluation = files[EVALUATION] if EVALUATION in head.files else None
    return ModelPackage(head, model, dictionary, package_digest(files[HEAD]), evaluation)


def write_package(files: Mapping[str, bytes], out: Path) -> None:
    """Write a new folder, or a new zip file where the name ends in ``.zip``; the same bytes for the same files.

    Raises
    ------
    ConfigError
        If something is there already, or it cannot be written.
    """
    if out.suffix.lower() == ".zip":
        write_file(out, _zipped(files))
        return
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{out} exists already and is never overwritten; choose another place.") from None
    except OSError as error:
        raise ConfigError(f"{out} cannot be made ({error.strerror}); choose another place.") from error
    try:
        for name in _present(files):
            (out / name).write_bytes(files[name])
    except OSError as error:
        rmtree(out)
        raise ConfigError(f"{out} cannot be written ({error.strerror}); choose another place.") from error


def _zipped(files: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _present(files):
            archive.writestr(zipfile.ZipInfo(name, _MIDNIGHT), files[name], zipfile.ZIP_DEFLATED)
    return whole.getvalue()


def _read(path: Path) -> dict[str, bytes]:
    try:
        if path.is_dir():
            there = _present({one.name: one for one in path.iterdir()})
            return {name: _content(path / name, _LONGEST_BYTES) for name in dict.fromkeys((*_NAMES, *there))}
        return unpacked(_content(path, _LONGEST_ZIP), str(path))
    except OSError as error:
        name = Path(str(error.filename)).name
        raise ConfigError(
            f"{path} is no model package: {name} cannot be read ({error.strerror}); "
            "make one with 'fedcredit model pack'."
        ) from None


def _content(path: Path, longest: int) -> bytes:
    """A plain file's bytes: a pipe would be waited for, a device never ends."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "it is no plain file", str(path))
    with path.open("rb") as file:
        return _limited(file.read(longest + 1), path.name, longest)


def _present(files: Mapping[str, object]) -> list[str]:
    return [name for name in _ALL if name in files]


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        # One byte more than allowed: what a zip file says of its sizes is not believed.
        return _limited(file.read(_LONGEST_BYTES + 1), name)


def _limited(content: bytes, name: str, longest: int = _LONGEST_BYTES) -> bytes:
    if len(content) > longest:
        raise ConfigError(f"{name} is longer than {longest} bytes, as no released file is; it is foreign.")
    return content


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()


def _head(content: bytes, where: str) -> Head:
    try:
        document = parse_json(content)
    except ValueError as error:
        raise ConfigError(f"model package {where}: package.json is not JSON ({error}); it was edited.") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != 1:
        raise ConfigError(f"model package {where} has schema version {version!r:.20}, not 1; upgrade fedcredit.")
    try:
        head = Head.model_validate(document)
    except ValidationError as fault:
        raise ConfigError(listed(f"model package {where}", validation_problems(fault, document))) from None
    if set(head.files) - {EVALUATION} != {MODEL, DICTIONARY}:
        raise ConfigError(f"model package {where}: package.json must list {MODEL} and {DICTIONARY}; it was edited.")
    return head


def _model(content: bytes, where: str) -> BinnedModel:
    try:
        return read_release(parse_json(content))
    except ValueError as error:
        raise ConfigError(f"model package {where}: model.json is not JSON ({error}); pack the run again.") from None


def _dictionary(content: bytes, where: str) -> DataDictionary:
    try:
        return parse_dictionary(content, f"model package {where}: {DICTIONARY}")
    except DictionaryError as error:
        raise ConfigError(str(error)) from error


def _foreign_joint(head: Head, dictionary: DataDictionary) -> list[str]:
    if head.joint is None or head.joint.view is None:
        return []
    view, block = head.joint.view, head.joint.block
    known = view in dictionary.kinds and block in dictionary.blocks
    if known and block not in dictionary.institution_type(view).owns:
        return []
    return [f"the joint view adds block {block!r:.80} to a {view!r:.80}, which the dictionary does not allow"]


def _misfits(head: Head, model: BinnedModel, dictionary: DataDictionary) -> list[str]:
    out = []
    if dictionary.digest().hex() != head.dictionary:
        out.append("the dictionary has another digest than its plan names; a grid was changed")
    if model.weight_scale != WEIGHT_SCALE:
        out.append(f"the model has {model.weight_scale} units per logit, not {WEIGHT_SCALE}")
    if tuple(f.name for f in model.features) != dictionary.feature_names:
        out.append("the model has other features than the dictionary")
        return out
    out += _foreign_joint(head, dictionary)
    for kind in dictionary.kinds:
        names = tuple(feature.name for feature in dictionary.owned_features(kind))
        if model.views.get(kind) != names or kind not in model.intercepts:
            out.append(f"the model does not read a {kind}'s features")
    for released, feature in zip(model.features, dictionary.features, strict=True):
        out += [f"{feature.name}: {problem}" for problem in _bin_problems(released, feature)]
    weights = [one.weight for released in model.features for one in released.bins]
    if max(map(abs, [*weights, *model.intercepts.values()])) > MARGIN_LIMIT:
        out.append(f"a weight is beyond ±{MARGIN_LIMIT} (8 logits)")
    return out


def _bin_problems(released: ScorecardFeature, feature: Feature) -> list[str]:
    """What is wrong with a feature's bins; a person approves its points by the bins' names, so these must be true."""
    cells = sorted(cell for one in released.bins for cell in one.cells)
    if cells != list(range(feature.n_cells)):
        return [f"the bins are not made of its {feature.n_cells} cells, each once"]
    out = []
    for one in released.bins:
        values = [cell for cell in one.cells if cell != feature.missing_cell]
        neighbours = feature.range is None or values == list(range(values[0], values[-1] + 1)) if values else True
        if not neighbours or list(one.cells) != sorted(one.cells):
            out.append(f"the bin {one.label!r:.60} joins cells that are no neighbours")
        elif one.label != bin_label(feature, one.cells):
            out.append(f"the bin {one.label!r:.60} is called otherwise than its cells are")
        if max(abs(one.good), abs(one.bad)) > _MOST_RECORDS:
            out.append(f"the bin {one.label!r:.60} has a count beyond ±2^53")
    return out
