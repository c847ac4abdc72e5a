"""Both ends of a link, on an institution's own console: the offer at one, the linked table at the other.

What a row becomes depends on that person alone: on their own record, their own consent, and what was offered of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.columns import ids, positions
from fedcredit.data.quantise import feature_column
from fedcredit.errors import ConfigError, DataError
from fedcredit.linked.consenting import Holder, consenting_rows
from fedcredit.linked.dictionary import OTHER_STEP
from fedcredit.linked.offer import Offer, OfferTerms, make_offer
from fedcredit.linked.person import person_hashes
from fedcredit.linked.scores import block_steps, file_codes, own_view
from fedcredit.models.joint_layout import FILE, OTHER, OWN
from fedcredit.models.joint_spec import FILES


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
        If the type declares no consent column, the table lacks a column, or somebody both agrees and does not.
    """
    rows = consenting_rows(holder, ())
    steps = block_steps(released, holder.dictionary, receiver_kind, holder.kind, _cells(holder, rows))
    return make_offer(terms, _hashes(pair_key, terms, ids(rows, holder.person)), steps)


def linked_table(
    holder: Holder, released: Mapping[str, Any], offers: Sequence[tuple[Offer, bytes]], id_column: str, fewest: int
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
    fewest
        Persons below which nothing is linked: a sender who offers one person, and then sees whether linked rows of this
        institution take part in a job, knows whether that person is its customer.

    Returns
    -------
    pa.Table
        Columns of the linked dictionary, its target and its ids; roles are drawn from the same ids as in the base job.

    Raises
    ------
    ConfigError, DataError
        As `offer_of`, or if too few persons are left, or one of them is several units.
    """
    target, own_id = holder.mapping.target, holder.mapping.id_column
    if own_id is None:
        raise ConfigError("the mapping names no id_column, from which roles are drawn; add it.")
    rows = consenting_rows(holder, (target.column, own_id))
    steps, known = _offered(holder, rows, offers)
    rows, steps = rows.filter(pa.array(known)), steps[known]
    persons = ids(rows, holder.person)
    _require_enough(len(set(persons)), fewest)
    if holder.unit is not None:
        _require_one_unit(persons, ids(rows, own_id) if holder.unit == "person" else range(rows.num_rows), holder.unit)
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


def _require_enough(persons: int, fewest: int) -> None:
    if persons == 0:
        raise ConfigError(
            "no consenting customer is in the offers; check the pair keys, and that both spell ids alike."
        )
    if persons < fewest:
        raise ConfigError(
            f"the offers name {persons} consenting customers, fewer than --fewest {fewest}. Who sent them could learn "
            "of single persons that they are customers here; wait for more, or lower it if the senders may know that."
        )


def _require_one_unit(persons: Sequence[bytes], units: Sequence[object], unit: str) -> None:
    """Refuse rows that would tell what was offered of a person several times, and be charged for one of them."""
    first: dict[bytes, object] = {}
    several = {one for one, of in zip(persons, units, strict=True) if first.setdefault(one, of) != of}
    if several:
        raise DataError(
            f"{len(several)} linked persons stand in several rows, which the policy's unit {unit!r} protects apart: "
            "what was offered of them would count as often; hand in one row of each, or protect persons."
        )


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
        hashes = _hashes(pair_key, offer.terms, own)
        found = np.array([told.get(one) is not None for one in hashes], dtype=np.bool_) & ~known
        steps[found] = [told[one] for one, new in zip(hashes, found.tolist(), strict=True) if new]
        known |= found
    return steps, known


def _hashes(pair_key: bytes, terms: OfferTerms, persons: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return person_hashes(pair_key, bytes.fromhex(terms.salt), terms.sender, terms.receiver, persons)
