"""Public constants of a model that its user wrote: any torch module, by import path and hash of its source file."""

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.models.descent_spec import DescentSpec

_WORD = "[A-Za-z_][A-Za-z0-9_]*"
ImportPath = Annotated[str, Field(pattern=rf"^{_WORD}(?:\.{_WORD})*:{_WORD}$", max_length=200)]
"""``package.module:ClassName``."""
SourceHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a source file, as hex."""
_Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
_Text = Annotated[str, Field(max_length=100)]


class ModuleSpec(DescentSpec):
    """A torch module from (n, n_inputs) to the log-odds of the bad class, (n, 1).

    Attributes
    ----------
    module
        Where the class stands.
    source_sha256
        Hash of the file that defines it, so that everybody runs the same.
    arguments
        Of the constructor, besides the number of inputs, which comes first.
    """

    family: Literal["module"] = "module"
    module: ImportPath
    source_sha256: SourceHash
    arguments: dict[_Name, bool | int | float | _Text] = Field(default_factory=dict, max_length=32)
