"""An offer is good for one receiver, model, dictionary and purpose, until it expires, as it was signed."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from fedcredit.audit.lines import Link
from fedcredit.errors import ConfigError, WireError
from fedcredit.linked.offer import MOST_STEPS, OfferUse, make_offer, new_terms
from fedcredit.linked.offer_file import named_sender, open_offer, write_offer
from fedcredit.linked.person import person_hashes
from fedcredit.wire.envelope import SigningKey

KEY, PAIR = SigningKey.generate(), bytes(range(32))
USE = OfferUse(
    sender="hospital-1",
    receiver="bank-1",
    dictionary="ab" * 32,
    model="cd" * 32,
    purpose="scoring",
)
DAY = date(2030, 6, 30)
TERMS = new_terms(USE, DAY, Link(4, bytes(range(32))))


def hashes(*names: bytes) -> tuple[bytes, ...]:
    return person_hashes(PAIR, bytes.fromhex(TERMS.salt), "hospital-1", "bank-1", names)


@pytest.fixture
def path(tmp_path):
    made = make_offer(TERMS, hashes(b"bob", b"ann", b"bob", b"cleo"), np.array([4, -2, 7, 99]))
    write_offer(tmp_path / "offer.parquet", made, KEY)
    return tmp_path / "offer.parquet"


def test_what_is_offered_is_read_back(path):
    offer = open_offer(path, KEY.public, USE, DAY)
    told = dict(zip(offer.persons, offer.steps.tolist(), strict=True))
    ann, bob, cleo = hashes(b"ann", b"bob", b"cleo")
    assert told == {ann: -2, bob: 6, cleo: MOST_STEPS}  # 5.5 to the even step
    assert list(offer.persons) == sorted(offer.persons)
    assert named_sender(path) == "hospital-1"
    assert path.stat().st_mode & 0o077 == 0
    assert (offer.terms.log_number, offer.terms.log_previous) == (5, bytes(range(32)).hex())
    with pytest.raises(ConfigError, match="never overwritten"):
        write_offer(path, offer, KEY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sender", "hospital-2"),
        ("receiver", "bank-2"),
        ("dictionary", "00" * 32),
        ("model", "00" * 32),
        ("purpose", "marketing"),
    ],
)
def test_an_offer_for_another_use_is_refused(path, name, value):
    with pytest.raises(ConfigError, match=f"is for {name}"):
        open_offer(path, KEY.public, USE.model_copy(update={name: value}), DAY)


def test_an_expired_offer_is_refused(path):
    with pytest.raises(ConfigError, match="expired on 2030-06-30"):
        open_offer(path, KEY.public, USE, date(2030, 7, 1))


def test_an_offer_that_somebody_else_signed_is_refused(path):
    with pytest.raises(ConfigError, match="not signed by 'hospital-1'"):
        open_offer(path, SigningKey.generate().public, USE, DAY)


@pytest.mark.parametrize("what", ["steps", "persons", "expires"])
def test_a_changed_offer_is_refused(path, tmp_path, what):
    table = pa_parquet.read_table(path)
    metadata, steps, persons = dict(table.schema.metadata), table.column("steps"), table.column("person")
    if what == "steps":
        steps = pa.array([value - 1 for value in steps.to_pylist()[:1]] + steps.to_pylist()[1:], pa.int16())
    elif what == "persons":
        steps, persons = steps.slice(1), persons.slice(1)
    else:
        terms = metadata[b"fedcredit.offer.terms"].replace(b"2030-06-30", b"2031-06-30")
        metadata[b"fedcredit.offer.terms"] = terms
    changed = pa.table({"person": persons, "steps": steps}).replace_schema_metadata(metadata)
    pa_parquet.write_table(changed, tmp_path / "changed.parquet")
    with pytest.raises(ConfigError, match="not signed"):
        open_offer(tmp_path / "changed.parquet", KEY.public, USE, DAY)


FAULTS = {
    "short hashes": lambda persons, steps: ([one[:31] for one in persons], steps, pa.binary(31), pa.int16()),
    "texts": lambda persons, steps: ([one.hex() for one in persons], steps, pa.string(), pa.int16()),
    "twice": lambda persons, steps: ([persons[0], *persons[:2]], steps),
    "out of order": lambda persons, steps: (persons[::-1], steps),
    "nobody": lambda persons, steps: ([*persons[:2], None], steps),
    "no score": lambda persons, steps: (persons, [None, *steps[1:]]),
    "too high": lambda persons, steps: (persons, [MOST_STEPS + 1, *steps[1:]]),
    "too low": lambda persons, steps: (persons, [-MOST_STEPS - 1, *steps[1:]]),
    "the lowest number": lambda persons, steps: (persons, [-(2**15), *steps[1:]]),
    "wider numbers": lambda persons, steps: (persons, [-(2**63), *steps[1:]], pa.binary(32), pa.int64()),
    "fractions": lambda persons, steps: (persons, [0.5, *steps[1:]], pa.binary(32), pa.float64()),
    "more than it can hold": lambda persons, steps: (persons[:1] * 10**6, steps[:1] * 10**6),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_offer_is_refused(path, tmp_path, fault):
    """Also where its sender signed it: no such number may reach a table."""
    offer = open_offer(path, KEY.public, USE, DAY)
    persons, steps, *types = FAULTS[fault](list(offer.persons), offer.steps.tolist())
    kinds = types or (pa.binary(32), pa.int16())
    made = pa.table({"person": pa.array(persons, kinds[0]), "steps": pa.array(steps, kinds[1])})
    if fault in ("too high", "too low", "the lowest number"):
        signed = replace(offer, steps=np.array(steps))
        write_offer(tmp_path / "other.parquet", signed, KEY)
    else:
        metadata = pa_parquet.read_table(path).schema.metadata
        pa_parquet.write_table(made.replace_schema_metadata(metadata), tmp_path / "other.parquet")
    with pytest.raises(WireError, match="is no offer"):
        open_offer(tmp_path / "other.parquet", KEY.public, USE, DAY)


def test_other_files_and_other_terms_are_no_offers(path, tmp_path):
    table, other = pa_parquet.read_table(path), tmp_path / "other.parquet"
    metadata = dict(table.schema.metadata)
    terms = metadata[b"fedcredit.offer.terms"]
    spellings = [terms + b" ", terms.replace(b'"log_number":5', b'"log_number":"5"'), b"[]", b"{"]
    made = [{**metadata, b"fedcredit.offer.terms": one} for one in spellings]
    for changed in (*made, {}, {**metadata, b"fedcredit.offer.signature": b"zz"}):
        pa_parquet.write_table(table.replace_schema_metadata(changed), other)
        with pytest.raises(WireError, match="is no offer"):
            open_offer(other, KEY.public, USE, DAY)
    other.write_text("no table at all")
    with pytest.raises(WireError, match="is no offer"):
        named_sender(other)
    for nothing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="cannot be read"):
            named_sender(nothing)


def test_hashes_differ_by_key_by_offer_and_by_who_tells_whom():
    calls = [(PAIR, b"", "a", "b"), (bytes(32), b"", "a", "b"), (PAIR, b"x", "a", "b"), (PAIR, b"", "b", "a")]
    calls += [(PAIR, b"", "ab", ""), (PAIR, b"", "a", "c")]
    assert len({person_hashes(*call, [b"ann"]) for call in calls}) == len(calls)
    assert person_hashes(*calls[0], [b"ann"]) == person_hashes(*calls[0], [b"ann"])
