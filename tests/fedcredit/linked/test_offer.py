"""An offer is good for one receiver, model, dictionary and purpose, until it expires, as it was signed."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from fedcredit.errors import ConfigError, WireError
from fedcredit.linked.offer import MOST_STEPS, OfferTerms, make_offer, named_sender, open_offer
from fedcredit.linked.person import load_pair_key, make_pair_key, person_hashes
from fedcredit.wire.envelope import SigningKey

KEY, PAIR = SigningKey.generate(), bytes(range(32))
TERMS = OfferTerms(
    sender="hospital-1",
    receiver="bank-1",
    dictionary="ab" * 32,
    model="cd" * 32,
    purpose="scoring",
    expires=date(2030, 6, 30),
)
DAY = date(2030, 6, 30)


@pytest.fixture
def path(tmp_path):
    hashes = person_hashes(PAIR, "hospital-1", "bank-1", [b"bob", b"ann", b"bob", b"cleo"])
    make_offer(TERMS, hashes, np.array([4, -2, 7, 99])).write(tmp_path / "offer.parquet", KEY)
    return tmp_path / "offer.parquet"


def test_what_is_offered_is_read_back(path):
    offer = open_offer(path, KEY.public, TERMS, DAY)
    told = dict(zip(offer.persons, offer.steps.tolist(), strict=True))
    ann, bob, cleo = person_hashes(PAIR, "hospital-1", "bank-1", [b"ann", b"bob", b"cleo"])
    assert told == {ann: -2, bob: 6, cleo: MOST_STEPS}  # 5.5 to the even step
    assert list(offer.persons) == sorted(offer.persons)
    assert named_sender(path) == "hospital-1"
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        offer.write(path, KEY)


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
        open_offer(path, KEY.public, TERMS.model_copy(update={name: value}), DAY)


def test_an_expired_offer_is_refused(path):
    with pytest.raises(ConfigError, match="expired on 2030-06-30"):
        open_offer(path, KEY.public, TERMS, date(2030, 7, 1))


def test_an_offer_that_somebody_else_signed_is_refused(path):
    with pytest.raises(ConfigError, match="not signed by 'hospital-1'"):
        open_offer(path, SigningKey.generate().public, TERMS, DAY)


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
        open_offer(tmp_path / "changed.parquet", KEY.public, TERMS, DAY)


@pytest.mark.parametrize("fault", ["text", "other table", "short hash", "twice", "too far", "null"])
def test_what_is_no_offer_is_refused(path, tmp_path, fault):
    table, other = pa_parquet.read_table(path), tmp_path / "other.parquet"
    persons, steps = table.column("person").to_pylist(), table.column("steps").to_pylist()
    match fault:
        case "short hash":
            persons[0] = b"short"
        case "twice":
            persons[1] = persons[0]
        case "too far":
            steps[0] = MOST_STEPS + 1
        case "null":
            persons[2] = None
    made = pa.table({"person": pa.array(persons, pa.binary()), "steps": pa.array(steps, pa.int16())})
    metadata = {} if fault == "other table" else table.schema.metadata
    pa_parquet.write_table(made.replace_schema_metadata(metadata), other)
    if fault == "text":
        other.write_text("no table at all")
    with pytest.raises(WireError, match="is no offer"):
        open_offer(other, KEY.public, TERMS, DAY)


def test_hashes_differ_by_key_and_by_who_tells_whom():
    calls = [(PAIR, "a", "b"), (bytes(32), "a", "b"), (PAIR, "b", "a"), (PAIR, "ab", ""), (PAIR, "a", "c")]
    assert len({person_hashes(*call, [b"ann"]) for call in calls}) == len(calls)
    assert person_hashes(PAIR, "a", "b", [b"ann"]) == person_hashes(PAIR, "a", "b", [b"ann"])


def test_a_pair_key_is_drawn_anew_and_kept_close(tmp_path):
    for name in ("one.key", "two.key"):
        make_pair_key(tmp_path / name)
    assert load_pair_key(tmp_path / "one.key") != load_pair_key(tmp_path / "two.key")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        make_pair_key(tmp_path / "one.key")
    (tmp_path / "one.key").chmod(0o644)
    with pytest.raises(ConfigError, match="readable by others"):
        load_pair_key(tmp_path / "one.key")
    with pytest.raises(ConfigError, match="does not exist"):
        load_pair_key(tmp_path / "none.key")
    for text, said in (("ab", "has 1 bytes"), ("no hex", "not hexadecimal")):
        (tmp_path / "two.key").write_text(text)
        with pytest.raises(ConfigError, match=said):
            load_pair_key(tmp_path / "two.key")
