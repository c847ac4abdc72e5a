"""What a site file or a command line says of a table's place; nothing is read, and Arrow is not loaded for it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator

from fedcredit.data.sql_uri import uri_problem, uri_relative_to
from fedcredit.dictionary.schema import Strict


class CsvSpec(Strict):
    """A CSV file."""

    kind: Literal["csv"]
    path: Path
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

    def relative_to(self, folder: Path) -> Self:
        """Return the same source with its path taken from `folder`."""
        return self.model_copy(update={"path": folder / self.path})


class ParquetSpec(Strict):
    """A Parquet file."""

    kind: Literal["parquet"]
    path: Path

    def relative_to(self, folder: Path) -> Self:
        """Return the same source with its path taken from `folder`."""
        return self.model_copy(update={"path": folder / self.path})


class SqlSpec(Strict):
    """A table or view in a database, reached through ADBC."""

    kind: Literal["sql"]
    uri: str
    """``sqlite:///path/to/file.db`` or ``postgresql://user@host/database``; no password."""
    table: Annotated[str, Field(min_length=1)]
    db_schema: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("uri")
    @classmethod
    def _usable(cls, uri: str) -> str:
        problem = uri_problem(uri)
        if problem:
            raise ValueError(problem)
        return uri

    def relative_to(self, folder: Path) -> Self:
        """Return the same source with a SQLite file's path taken from `folder`."""
        return self.model_copy(update={"uri": uri_relative_to(self.uri, folder)})


SourceSpec = Annotated[CsvSpec | ParquetSpec | SqlSpec, Field(discriminator="kind")]
