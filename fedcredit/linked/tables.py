"""Both ends of a link, on an institution's own console: the offer at one, the linked table at the other.

A row takes part only with a consent token that the dictionary lists; one without never enters an offer or a table.
What a row becomes depends on that person alone: on their own record, their own consent, and what was offered of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import ids, positions
from fedcredit.data.quantise import feature_column
from fedcredit.data.sources import Source
from fedcredit.dictionary.mapping import Mapping as ColumnsMapping
from fedcredit.dictionary.schema import Consent, DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.linked.dictionary import OTHER_STEP
from fedcredit.linked.offer import Offer, OfferTerms, make_offer
from fedcredit.linked.person import person_hashes
from fedcredit.linked.scores import block_steps, file_codes, own_view
from fedcredit.models.joint_layout import FILE, OTHER, OWN
from fedcredit.models.joint_spec import FILES


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
    """

    dictionary: DataDictionary
    kind: str
    mapping: ColumnsMapping
    source: Source
    person: str


def offer_of(
    holder: Holder, released: Mapping[str, Any], terms: OfferTerms, receiver_kind: str, pair_key: bytes
) -> Offer:
    """What the holder tells the receiver of persons who consent.

    Parameters
    ----------
    released
        JSON value of the base model.
    receiver_kind
        Type of the receiver, whose customers are scored.
    pair_key
        Of the two institutions.

    Raises
    ------
    ConfigError, DataError
        If the type declares no consent column, or the table lacks a column.
    """
    rows = _consenting(holder, ())
    steps = block_steps(released, holder.dictionary, receiver_kind, holder.kind, _cells(holder, rows))
    persons = person_hashes(pair_key, terms.sender, terms.receiver, ids(rows, holder.person))
    return make_offer(terms, persons, steps)


def linked_table(
    holder: Holder, released: Mapping[str, Any], offers: Sequence[tuple[Offer, bytes]], id_column: str
) -> pa.Table:
    """The holder's rows of whom something was offered.

    Parameters
    ----------
    released
        JSON value of the base model.
    offers
        Opened offers, each with its pair key. Of a person in several the first one counts.
    id_column
        Name of the id column in the linked dictionary.

    Returns
    -------
    pa.Table
        Columns of the linked dictionary, its target and its ids; roles are drawn from the same ids as in the base job.

    Raises
    ------
    ConfigError, DataError
        As `offer_of`, or if no row is left.
    """
    target, own_id = holder.mapping.target, holder.mapping.id_column
    if own_id is None:
        raise ConfigError("the mapping names no id_column, from which roles are drawn; add it.")
    rows = _consenting(holder, (target.column, own_id))
    steps, known = _offered(holder, rows, offers)
    rows, steps = rows.filter(pa.array(known)), steps[known]
    if rows.num_rows == 0:
        raise ConfigError(
            "no consenting customer is in the offers; check the pair keys, and that both spell ids alike."
        )
    cells = _cells(holder, rows)
    label = positions(rows, target.column, (*target.good, *target.bad))
    files = file_codes(holder.dictionary, holder.kind, cells)
    return pa.table(
        {
            id_column: rows.column(own_id),
            OWN: own_view(released, holder.dictionary, holder.kind, cells),
            OTHER: steps * OTHER_STEP,
            FILE: pa.array([FILES[code] for code in files.tolist()]),
            holder.dictionary.institution_type(holder.kind).target.name: pa.array(
                (label >= len(target.good)).astype(np.int8), mask=label < 0
            ),
        }
    )


def _consenting(holder: Holder, extra: tuple[str, ...]) -> pa.Table:
    """Rows with a token that allows linking and an id, as many columns as are needed."""
    consent = _declared(holder)
    column = holder.mapping.consent or consent.column
    features = [holder.mapping.features[f.name].column for f in holder.dictionary.owned_features(holder.kind)]
    table = holder.source.read(list(dict.fromkeys([*features, *extra, holder.person, column])))
    named = np.array([one != b"" for one in ids(table, holder.person)], dtype=np.bool_)
    rows = table.filter(pa.array(named & (positions(table, column, consent.granted) >= 0)))
    if rows.num_rows == 0:
        tokens = ", ".join(consent.granted)
        raise ConfigError(
            f"no row has a consent token that allows linking ({tokens}) in {column!r}; nothing is linked."
        )
    return rows


def _declared(holder: Holder) -> Consent:
    consent = holder.dictionary.institution_type(holder.kind).consent
    if consent is None:
        raise ConfigError(
            f"dictionary {holder.dictionary.name!r} declares no consent column for a {holder.kind}, so no row may be "
            "linked; agree on one, and on the tokens that allow it."
        )
    return consent


def _cells(holder: Holder, rows: pa.Table) -> NDArray[np.uint16]:
    features = holder.dictionary.owned_features(holder.kind)
    return np.column_stack([feature_column(one, holder.mapping.features[one.name], rows) for one in features])


def _offered(
    holder: Holder, rows: pa.Table, offers: Sequence[tuple[Offer, bytes]]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Steps of each row, and whether anybody offered any; shapes (n,)."""
    steps, known = np.zeros(rows.num_rows, dtype=np.int64), np.zeros(rows.num_rows, dtype=np.bool_)
    own = ids(rows, holder.person)
    for offer, pair_key in offers:
        told = dict(zip(offer.persons, offer.steps.tolist(), strict=True))
        hashes = person_hashes(pair_key, offer.terms.sender, offer.terms.receiver, own)
        found = np.array([told.get(one) is not None for one in hashes], dtype=np.bool_) & ~known
        steps[found] = [told[one] for one, new in zip(hashes, found.tolist(), strict=True) if new]
        known |= found
    return steps, known
