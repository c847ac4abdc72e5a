"""The data dictionary: what each feature is, who holds it and into which public cells it falls.

falls.

Every institution loads the same file; its digest goes into each plan. All that the protocol needs to know
about the data (feature order, owners, number of cells) follows from this file alone, so message sizes never
depend on a record.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from fedcredit.dictionary.contract import contract_problems, feature_problems
from fedcredit.dictionary.grid import MAX_CELLS, cell_cuts, integer_edges, linear_edges, signed_log_edges
from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import DictionaryError
from fedcredit.wire import canonical


class Strict(BaseModel):
    """Frozen model that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def code_text(value: object) -> object:
    """Write a code as text: ``1``, ``1.0`` and ``"1"`` are one code.

    YAML reads a bare ``no`` or ``yes`` as a truth value. Guessing which text was meant would be wrong half of
    the time, so that is refused.
    """
    if isinstance(value, bool):
        raise ValueError(f"the code {value} was read as a truth value; put it in quotes")  # noqa: TRY004 - pydantic
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return repr(value) if isinstance(value, float) else value.strip() if isinstance(value, str) else value


Code = Annotated[str, BeforeValidator(code_text), Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]
CellCount = Annotated[int, Field(ge=1, lt=MAX_CELLS)]


class SignedLogGrid(Strict):
    """Cells equally wide in ``sign(x) ln(1 + |x| / unit)``."""

    kind: Literal["signed_log"]
    cells: CellCount
    unit: Annotated[float, Field(gt=0)]
    """Size below which the scale is about linear, in the feature's unit."""


class LinearGrid(Strict):
    """Equally wide cells."""

    kind: Literal["linear"]
    cells: CellCount


class IntegersGrid(Strict):
    """Each integer of the range in a cell of its own."""

    kind: Literal["integers"]


class EdgesGrid(Strict):
    """Cells between given inner edges; a cell holds its lower edge."""

    kind: Literal["edges"]
    edges: Annotated[tuple[float, ...], Field(min_length=1, max_length=MAX_CELLS - 2)]


class CategoriesGrid(Strict):
    """One cell per declared code, in the order declared."""

    kind: Literal["categories"]
    codes: Annotated[dict[Code, Text], Field(min_length=1, max_length=MAX_CELLS - 1)]
    """Code → its meaning in words."""


NumericGrid = SignedLogGrid | LinearGrid | IntegersGrid | EdgesGrid
Grid = Annotated[NumericGrid | CategoriesGrid, Field(discriminator="kind")]
FeatureType = Literal["number", "integer", "category"]
_LINKING = ("consent", "thin_when_missing")
Monotone = Literal["none", "increasing", "decreasing"]
DataClass = Literal["public", "private", "sensitive", "sensitive-health"]


class Feature(Strict):
    """One column of the contract."""

    name: Name
    block: Name
    type: FeatureType
    unit: str = ""
    """Unit of measure (``TWD``, ``months``); empty for a category."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """How many units one step of the value stands for: 1000 means that values are in thousands."""
    range: Annotated[tuple[float, float] | None, Field(validate_default=True)] = None
    """Lowest and highest value that the contract allows, from public knowledge; None for a category."""
    missing_codes: tuple[Code, ...] = ()
    """Raw codes that mean "not known"; matched before any scaling."""
    grid: Grid
    atoms: Annotated[tuple[float, ...], Field(validate_default=True)] = ()
    """Values with a cell of their own, such as 0."""
    monotone: Monotone = "none"
    """Direction of the probability of being bad as the value grows."""
    data_class: DataClass
    purpose: Text
    basis: Text
    """Legal basis or licence on which the column is used."""
    reason: Text
    """Reason-code text, as an applicant would read it."""

    @field_validator("range", "grid", "atoms", "monotone")
    @classmethod
    def _consistent(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - four fields share it
        # Checked per field, against the fields before it, so that one fault does not hide another.
        problems = feature_problems(str(info.field_name), value, info.data)
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @property
    def cuts(self) -> NDArray[np.float64]:
        """Cut points, shape (m,), increasing; empty for a category."""
        if self.range is None or isinstance(self.grid, CategoriesGrid):
            return np.empty(0, dtype=np.float64)
        return _cuts(self.type, self.range, self.grid, self.atoms)

    @property
    def codes(self) -> tuple[str, ...]:
        """Declared category codes in cell order; empty for a number."""
        return tuple(self.grid.codes) if isinstance(self.grid, CategoriesGrid) else ()

    @property
    def n_cells(self) -> int:
        """Number of cells, the last one (missing) included."""
        return (len(self.codes) or len(self.cuts) + 1) + 1

    @property
    def missing_cell(self) -> int:
        """Index of the cell for missing, unparsable and unknown values: the last."""
        return self.n_cells - 1


# Cached by what they follow from, not on the model: a changed copy of a feature must never keep its old cells.
@lru_cache(maxsize=4096)
def _cuts(
    kind: FeatureType, limits: tuple[float, float], grid: NumericGrid, atoms: tuple[float, ...]
) -> NDArray[np.float64]:
    low, high = limits
    match grid:
        case SignedLogGrid(cells=cells, unit=unit):
            edges = signed_log_edges(low, high, cells, unit)
        case LinearGrid(cells=cells):
            edges = linear_edges(low, high, cells)
        case EdgesGrid(edges=given):
            edges = given
        case IntegersGrid():
            edges = integer_edges(low, high)
    return cell_cuts(edges, atoms, low, high, integer=kind == "integer")


class Target(Strict):
    """What "bad" means for one institution type."""

    name: Name
    definition: Text
    window_months: Annotated[int, Field(gt=0)] | None = None
    """Length of the window in which the outcome is observed."""


class Consent(Strict):
    """The column that says whether a person's rows may be linked with another institution's.

    A token names the wording that the person agreed to. Whoever has no token, or another one, has not agreed.
    """

    column: Text
    granted: Annotated[tuple[Code, ...], Field(min_length=1)]
    """Tokens that allow linking."""


class InstitutionType(Strict):
    """A kind of institution: the blocks that it holds and the outcome that it observes."""

    owns: Annotated[tuple[Name, ...], Field(min_length=1)]
    target: Target
    id_column: str | None = None
    """Usual name of the column with the person's (or the row's) id."""
    consent: Consent | None = None
    """Where consent to linking stands; None where no row may be linked."""
    thin_when_missing: tuple[Name, ...] = ()
    """Features of the type's own: a person of whom none is known has a thin file; empty where files are all thick."""

    @model_serializer(mode="wrap")
    def _only_declared(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A dictionary that declares neither keeps the digest that it had before either existed.
        written: dict[str, Any] = dump(self)
        return {name: value for name, value in written.items() if value or name not in _LINKING}


class DataDictionary(Strict):
    """All features in one fixed order, the blocks that they form, and who owns which."""

    schema_version: Literal[1]
    name: Name
    title: Text
    source: Text
    licence: Text
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    simulation_only: bool = False
    """True if ranges were taken from data: such a file never reaches a served custodian."""
    blocks: Annotated[tuple[Name, ...], Field(min_length=1)]
    institution_types: Annotated[dict[Name, InstitutionType], Field(min_length=1)]
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        problems = contract_problems(self.model_dump())
        problems += [
            f"{f.name}: the grid has {f.n_cells} cells, more than {MAX_CELLS}; use fewer cells"
            for f in self.features
            if f.n_cells > MAX_CELLS
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features in dictionary order."""
        return tuple(feature.name for feature in self.features)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the institution types, in the order declared."""
        return tuple(self.institution_types)

    def institution_type(self, kind: str) -> InstitutionType:
        """Return the institution type called `kind`.

        Raises
        ------
        DictionaryError
            No such type.
        """
        if kind not in self.institution_types:
            known = ", ".join(self.institution_types)
            raise DictionaryError(f"dictionary {self.name!r} has no institution type {kind!r}; it has: {known}")
        return self.institution_types[kind]

    def owned(self, kind: str) -> tuple[int, ...]:
        """Return the indices of the features that institutions of type `kind` own, increasing.

        Raises
        ------
        DictionaryError
            No such type.
        """
        blocks = self.institution_type(kind).owns
        return tuple(i for i, feature in enumerate(self.features) if feature.block in blocks)

    def owned_features(self, kind: str) -> tuple[Feature, ...]:
        """Return the features that institutions of type `kind` own, in dictionary order."""
        return tuple(self.features[i] for i in self.owned(kind))

    def digest(self) -> bytes:
        """Return a SHA-256 over all values and the cut points that follow from them, 32 bytes.

        Comments and layout of the YAML do not count; the order of features, types and codes does. With the
        cut points in it, equal digests mean equal cells, whatever version of the grid code worked them out.
        """
        text = json.dumps(self.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return canonical.digest(
            "data-dictionary", text.encode(), *(f.cuts.astype("<f8").tobytes() for f in self.features)
        )


def parse_dictionary(text: bytes, what: str = "data dictionary") -> DataDictionary:
    """Read a data dictionary from YAML.

    Parameters
    ----------
    text
        UTF-8 YAML.
    what
        Name of the document for messages.

    Returns
    -------
    DataDictionary

    Raises
    ------
    DictionaryError
        With every problem found, one line each.
    """
    document = parse_yaml(text, what, DictionaryError)
    try:
        return DataDictionary.model_validate(document)
    except ValidationError as fault:
        problems = validation_problems(fault, document)
        # A faulty field keeps pydantic from the checks across fields: run them on the raw document.
        problems += [line for line in contract_problems(document) if line not in problems]
        raise DictionaryError(listed(what, problems)) from None


def load_dictionary(path: str | Path) -> DataDictionary:
    """Read a data dictionary file; see `parse_dictionary`."""
    try:
        text = Path(path).read_bytes()
    except OSError as fault:
        raise DictionaryError(f"cannot read the data dictionary {path}: {fault.strerror}; check the path") from None
    return parse_dictionary(text, str(path))
