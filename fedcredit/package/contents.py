"""What a model package says: the model, its dictionary, the scale of its points, and where it comes from.

Files of plain text: ``package.json`` (this head), and as the job released them ``model.json``, ``dictionary.yaml`` and,
where the job was evaluated, ``evaluation.json``. The head holds the hashes of the others, so the hash of the head names
the whole package; every decision carries it. All in it was released, noise included: a package costs no privacy and
opens no record.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.joint_spec import FILES
from fedcredit.models.points import PointsScale
from fedcredit.models.scorecard_release import BinnedModel
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, WEIGHT_SCALE
from fedcredit.roster import HashHex
from fedcredit.wire.canonical import digest

HEAD, MODEL, DICTIONARY, EVALUATION = "package.json", "model.json", "dictionary.yaml", "evaluation.json"
File = Literal["thin", "thick"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scale(_Frozen):
    """The scale of the points; see `fedcredit.models.points.PointsScale`."""

    # Bounds that keep every sum of points within 32 bits, as the kernel for tables packs them.
    base_score: Annotated[float, Field(ge=-1_000_000, le=1_000_000)] = 600.0
    base_odds: Annotated[float, Field(gt=0, le=1e9)] = 50.0
    points_to_double_odds: Annotated[float, Field(gt=0, le=10_000)] = 20.0

    def points_scale(self) -> PointsScale:
        """The same for the points table."""
        return PointsScale(self.base_score, self.base_odds, self.points_to_double_odds)


class FileTerms(_Frozen):
    """How a person's own view and a consented number become one score; all in units of 1/1024.

    Attributes
    ----------
    intercept, slope
        Log-odds that are added, and how much the own view counts; 1024 leaves it as it is.
    weight
        λ: share of the other block's log-odds that is added. Where it is 0 nobody is asked for the number.
    """

    intercept: Annotated[int, Field(ge=-MARGIN_LIMIT, le=MARGIN_LIMIT)] = 0
    slope: Annotated[int, Field(gt=0, le=4 * WEIGHT_SCALE)] = WEIGHT_SCALE
    weight: Annotated[int, Field(ge=0, le=2 * WEIGHT_SCALE)]


class JointView(_Frozen):
    """How a consented number from an institution of another type joins this one's score.

    Attributes
    ----------
    files
        Per thickness of the person's file, which the dictionary's `thin_when_missing` declares.
    view, block
        Whose customers it scores and whose block it adds, as fitted; None where λ was set by hand, for any.
    step
        The number is a whole multiple of so many 1/1024 logit.
    limit
        Largest multiple either way; what lies beyond is sent as the limit.
    reason
        Reason-code text where the number counts against a person.
    source
        Where it comes from: the job that fitted it, or who set λ.
    """

    files: dict[File, FileTerms]
    view: str | None = None
    block: str | None = None
    step: Annotated[int, Field(ge=64, le=MARGIN_LIMIT)] = 256
    limit: Annotated[int, Field(ge=1, le=64)] = 12
    reason: Annotated[str, Field(min_length=1, max_length=200)] = (
        "Payment conduct that another institution reported with your consent"
    )
    source: Annotated[str, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.step * self.limit > MARGIN_LIMIT:
            raise ValueError(f"step × limit = {self.step * self.limit} is over {MARGIN_LIMIT} (8 logits)")
        if set(self.files) != set(FILES):
            raise ValueError(f"files must say what holds for {' and '.join(FILES)}")
        if not any(one.weight for one in self.files.values()):
            raise ValueError("λ is 0 for every file; leave the joint view out")
        return self

    @property
    def sentence(self) -> str:
        """The view in words."""
        words = (
            f"{name} file {one.intercept / WEIGHT_SCALE:+.3f} + {one.slope / WEIGHT_SCALE:.3f} × own view "
            f"+ {one.weight / WEIGHT_SCALE:.3f} × block"
            for name, one in ((name, self.files[name]) for name in get_args(File))
        )
        whose = f" of a {self.view} for {self.block}" if self.view else ""
        return f"{', '.join(words)}{whose}; {self.source}; step {self.step}/1024 logit, at most {self.limit} steps"


class Lineage(_Frozen):
    """Hashes of what the model follows from.

    Attributes
    ----------
    plan, roster
        As messages and receipts name them.
    receipts
        Per institution SHA-256 of its signed receipt.
    released
        Per released file SHA-256 of its bytes.
    """

    plan: HashHex
    roster: HashHex
    receipts: dict[str, HashHex]
    released: dict[str, HashHex]


class Head(_Frozen):
    """The file ``package.json``.

    Attributes
    ----------
    schema_version
        1.
    job, purpose
        As in the plan.
    created
        Time of packing, UTC, ISO 8601.
    not_private
        True if the run was a simulation, whose noise can be repeated, or had none.
    dictionary
        Digest of the data dictionary, as the plan names it.
    files
        SHA-256 of every other file.
    """

    schema_version: Literal[1] = 1
    job: str
    purpose: str
    created: str
    not_private: bool
    dictionary: HashHex
    files: dict[str, HashHex]
    lineage: Lineage
    scale: Scale = Scale()
    joint: JointView | None = None


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A package whose hashes all hold.

    Attributes
    ----------
    digest
        Hash of ``package.json``, hex: the package's name.
    evaluation
        Bytes of the released figures; None where the job was not evaluated.
    """

    head: Head
    model: BinnedModel
    dictionary: DataDictionary
    digest: str
    evaluation: bytes | None = None

    @property
    def model_hash(self) -> str:
        """SHA-256 of ``model.json``, hex."""
        return self.head.files[MODEL]

    def view(self, chosen: str | None) -> str:
        """The institution type whose customers are scored.

        Raises
        ------
        ConfigError
            If there are several and none was chosen, or there is no such type.
        """
        known = tuple(self.model.views)
        if chosen is None and len(known) == 1:
            return known[0]
        if chosen not in known:
            said = "is not chosen" if chosen is None else f"{chosen!r} is none of this package's"
            raise ConfigError(f"the institution type {said}; set --view to one of: {', '.join(known)}.")
        return chosen


def package_digest(head: bytes) -> str:
    """Name of a package, from the bytes of its head; hex."""
    return digest("model-package", head).hex()
