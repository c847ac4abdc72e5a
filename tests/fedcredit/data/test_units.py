import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.columns import ids as id_column
from fedcredit.data.units import UNIT_BYTES, hash_units, unit_set

KEY = bytes(range(32))


def as_set(units) -> set[bytes]:
    data = units.hashes.tobytes()
    return {data[i : i + UNIT_BYTES] for i in range(0, len(data), UNIT_BYTES)}


@given(st.lists(st.binary(max_size=6), max_size=20), st.lists(st.binary(max_size=6), max_size=20))
def test_hashes_are_of_the_set_and_of_nothing_else(left, right):
    one, two = hash_units(left, KEY), hash_units(reversed([*left, *left]), KEY)
    assert one.hashes.tobytes() == two.hashes.tobytes()
    assert len(one.hashes) == len(as_set(one)) == len(set(left))
    other = hash_units(right, KEY)
    assert len(as_set(one) & as_set(other)) == len(set(left) & set(right))
    assert np.intersect1d(one.hashes, other.hashes).size == len(set(left) & set(right))


def test_another_key_gives_other_hashes_and_another_check_value():
    one, other = (hash_units([b"1", b"2"], key) for key in (KEY, bytes(32)))
    assert not as_set(one) & as_set(other)
    assert one.key_check != other.key_check
    assert hash_units([], KEY).key_check == one.key_check
    assert KEY not in one.key_check + one.hashes.tobytes()


@given(st.lists(st.binary(min_size=UNIT_BYTES, max_size=UNIT_BYTES), max_size=8))
def test_hashes_that_end_in_zeros_are_kept_whole(hashes):
    zeroed = [one[:8] + bytes(8) for one in hashes] + hashes
    found = unit_set(b"".join(zeroed))
    assert len(found) == len(set(zeroed))
    assert len(found.tobytes()) == UNIT_BYTES * len(set(zeroed))


def test_a_number_and_its_text_are_one_unit():
    """The same ids from another driver are the same units: no fresh budget for a new encoding."""
    numbers, texts = pa.table({"id": [7, 12, 300]}), pa.table({"id": ["300", "7", "12"]})
    one, other = (hash_units(id_column(table, "id"), KEY) for table in (numbers, texts))
    assert one.hashes.tobytes() == other.hashes.tobytes()


@pytest.mark.parametrize("n", [100_000])
def test_many_units_are_hashed_in_a_few_seconds(n):
    start = time.process_time()
    assert len(hash_units((str(i).encode() for i in range(n)), KEY).hashes) == n
    assert time.process_time() - start < 5
