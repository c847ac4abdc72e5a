"""The one strict reader of files that people write for a program: YAML, a model of its fields, sentences for faults."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fedcredit.dictionary.problems import listed, validation_problems
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


def load_model(model: type[_Model], path: Path, kind: str, remedy: str) -> _Model:
    """Read a file as a model.

    Parameters
    ----------
    kind
        What it is, e.g. ``node file``, for messages.
    remedy
        What to do if there is no such file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds a wrong, unknown or missing field.
    """
    what = f"{kind} {path}"
    try:
        document = parse_yaml(path.read_bytes(), what)
    except OSError as error:
        raise ConfigError(f"{what} cannot be read ({error.strerror}); {remedy}") from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(listed(what, validation_problems(error, document))) from error
