"""Whose rows may be linked: those with a consent token that the dictionary lists, and no others.

Where a person has rows with such a token and rows without, nobody here guesses which is the newest: nothing is linked
until the table says it. Leaving out all rows of that person would let one record decide about others, which the noise
for one record does not cover; leaving out one of them would link who has withdrawn.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import ids, positions
from fedcredit.data.sources import Source
from fedcredit.dictionary.mapping import Mapping
from fedcredit.dictionary.schema import Consent, DataDictionary
from fedcredit.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Holder:
    """An institution's own table and how it is read.

    Attributes
    ----------
    dictionary, kind
        Base dictionary, and the institution's type in it.
    mapping
        Its columns.
    source
        Its table.
    person
        Column with the id that both institutions spell alike.
    unit
        ``record`` or ``person``: what the policy protects; None where nothing is private.
    """

    dictionary: DataDictionary
    kind: str
    mapping: Mapping
    source: Source
    person: str
    unit: str | None


def consenting_rows(holder: Holder, extra: tuple[str, ...]) -> pa.Table:
    """Rows with a token that allows linking and an id.

    Parameters
    ----------
    extra
        Columns that are needed besides the features', the person's and the token's.

    Raises
    ------
    ConfigError, DataError
        If the type declares no consent column, the table lacks a column, nobody agrees, or somebody both does and does
        not.
    """
    consent = _declared(holder)
    column = holder.mapping.consent or consent.column
    features = [holder.mapping.features[f.name].column for f in holder.dictionary.owned_features(holder.kind)]
    table = holder.source.read(list(dict.fromkeys([*features, *extra, holder.person, column])))
    persons, agreed = ids(table, holder.person), positions(table, column, consent.granted) >= 0
    _require_of_one_mind(persons, agreed)
    rows = table.filter(pa.array(agreed & np.array([one != b"" for one in persons], dtype=np.bool_)))
    if rows.num_rows == 0:
        tokens = ", ".join(consent.granted)
        raise ConfigError(
            f"no row has a consent token that allows linking ({tokens}) in {column!r}; nothing is linked."
        )
    return rows


def _require_of_one_mind(persons: tuple[bytes, ...], agreed: NDArray[np.bool_]) -> None:
    said = list(zip(persons, agreed.tolist(), strict=True))
    undecided = {one for one, agrees in said if agrees} & {one for one, agrees in said if one and not agrees}
    if undecided:
        raise DataError(
            f"{len(undecided)} persons have rows with a consent token that allows linking and rows without; give all "
            "rows of a person the token that holds now."
        )


def _declared(holder: Holder) -> Consent:
    consent = holder.dictionary.institution_type(holder.kind).consent
    if consent is None:
        raise ConfigError(
            f"dictionary {holder.dictionary.name!r} declares no consent column for a {holder.kind}, so no row may be "
            "linked; agree on one, and on the tokens that allow it."
        )
    return consent
