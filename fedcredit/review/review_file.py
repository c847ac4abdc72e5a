"""REVIEW.yaml: which decision log is reviewed, where the reviews go, and which decisions wait for a person."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError

FlagKind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]


class ReviewRule(BaseModel):
    """Which decisions wait for a person.

    Attributes
    ----------
    band_points
        Points on either side of the cut-off within which a person decides.
    flags
        Kinds of flags (what stands before the colon, such as ``range`` in ``range:age``) that send a decision here.
        Kind ``block`` stands on everybody whose other institution was not asked, so it is not among the default ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    band_points: int = Field(default=10, ge=0, le=10_000)
    flags: tuple[FlagKind, ...] = ("range", "text")


class ReviewFile(BaseModel):
    """The fields of REVIEW.yaml.

    Attributes
    ----------
    decisions
        The decision log that scoring writes; it is only read here.
    reviews
        The SQLite file with what people said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decisions: Path
    reviews: Path
    rule: ReviewRule = ReviewRule()


def load_review_file(path: Path) -> ReviewFile:
    """Read REVIEW.yaml and resolve its paths against its folder.

    Raises
    ------
    ConfigError
        If the file is missing, or holds a wrong, unknown or missing field.
    """
    what = f"review file {path}"
    try:
        document = parse_yaml(path.read_bytes(), what)
    except OSError as error:
        raise ConfigError(f"{what} cannot be read ({error.strerror}); docs/lifecycle.md shows one.") from error
    try:
        file = ReviewFile.model_validate(document)
    except ValidationError as error:
        raise ConfigError(listed(what, validation_problems(error, document))) from error
    folder = path.resolve().parent
    return file.model_copy(update={"decisions": folder / file.decisions, "reviews": folder / file.reviews})
