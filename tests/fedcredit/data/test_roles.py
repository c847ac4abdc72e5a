import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.roles import content_fingerprint, evaluation_mask, kept_rows
from fedcredit.errors import ConfigError

KEY = bytes(range(32))
persons = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 3), st.integers(0, 1)), max_size=25)


def arrays(rows):
    ids = [row[0] for row in rows]
    cells = np.array([[row[1], 7] for row in rows], dtype=np.uint16).reshape(len(rows), 2)
    return ids, cells, np.array([row[2] for row in rows], dtype=np.uint8)


def test_the_role_is_the_first_eight_bytes_of_the_keyed_hash():
    ids = [str(i).encode() for i in range(200)]
    mask = evaluation_mask(ids, KEY, 0.25)
    for unit, role in zip(ids, mask, strict=True):
        tag = hmac.new(KEY, b"fedcredit/role/1\0" + unit, hashlib.sha256).digest()
        assert role == (int.from_bytes(tag[:8], "big") < 2**62)


@given(st.lists(st.binary(max_size=4), max_size=20), st.randoms())
def test_a_role_depends_on_the_own_id_only(ids, random):
    alone = [evaluation_mask([unit], KEY, 0.5)[0] for unit in ids]
    assert evaluation_mask(ids, KEY, 0.5).tolist() == alone
    shuffled = random.sample(ids, len(ids))
    assert sorted(zip(ids, alone, strict=True)) == sorted(
        zip(shuffled, evaluation_mask(shuffled, KEY, 0.5).tolist(), strict=True)
    )


def test_the_share_is_about_the_fraction_and_the_key_matters():
    ids = [str(i).encode() for i in range(20_000)]
    mask = evaluation_mask(ids, KEY, 0.2)
    assert abs(mask.mean() - 0.2) < 0.012  # more than four standard deviations
    assert (mask != evaluation_mask(ids, b"another key of 32 bytes, at least", 0.2)).mean() > 0.25
    assert not evaluation_mask(ids, KEY, 0.0).any()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_the_fraction_must_be_in_range(fraction):
    with pytest.raises(ConfigError, match=r"in \[0, 1\), got"):
        evaluation_mask([b"a"], KEY, fraction)


@given(persons, st.integers(1, 4))
def test_at_most_cap_rows_of_a_person_and_all_below_it(rows, cap):
    ids, cells, bad = arrays(rows)
    keep = kept_rows(ids, cells, bad, KEY, cap)
    for person in set(ids):
        own = np.array([unit == person for unit in ids])
        assert keep[own].sum() == min(cap, own.sum())


@given(persons, st.integers(1, 3), st.randoms())
def test_kept_content_depends_on_the_persons_own_rows_only(rows, cap, random):
    def kept(some):
        ids, cells, bad = arrays(some)
        keep = kept_rows(ids, cells, bad, KEY, cap)
        return sorted(row for row, stays in zip(some, keep, strict=True) if stays)

    whole = kept(rows)
    assert whole == kept(random.sample(rows, len(rows)))
    apart = [kept([row for row in rows if row[0] == person]) for person in (b"a", b"b", b"c")]
    assert whole == sorted(row for part in apart for row in part)


def test_the_cap_does_not_favour_a_label_or_a_position():
    ids = [str(i // 2).encode() for i in range(4000)]
    bad = np.tile(np.array([0, 1], dtype=np.uint8), 2000)
    keep = kept_rows(ids, np.zeros((4000, 1), dtype=np.uint16), bad, KEY, 1)
    assert abs(bad[keep].mean() - 0.5) < 0.05


def test_the_cap_must_be_positive():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        kept_rows([], np.zeros((0, 1), dtype=np.uint16), np.zeros(0, dtype=np.uint8), KEY, 0)


@given(persons, st.randoms())
def test_the_fingerprint_ignores_order_and_nothing_else(rows, random):
    ids, cells, bad = arrays(rows)
    mark = content_fingerprint(KEY, cells, bad, ids)
    assert len(mark) == 32
    order = random.sample(range(len(rows)), len(rows))
    assert content_fingerprint(KEY, cells[order], bad[order], [ids[i] for i in order]) == mark
    for changed in (
        rows[1:],
        [*rows, (b"a", 0, 0)],
        [(b"z", *rows[0][1:]), *rows[1:]] if rows else [(b"z", 0, 0)],
    ):
        if sorted(changed) != sorted(rows):
            other, other_cells, other_bad = arrays(changed)
            assert content_fingerprint(KEY, other_cells, other_bad, other) != mark
    assert content_fingerprint(KEY[::-1], cells, bad, ids) != mark


def test_the_fingerprint_sees_cells_labels_and_missing_ids():
    cells, bad = np.array([[1, 2]], dtype=np.uint16), np.array([0], dtype=np.uint8)
    marks = {
        content_fingerprint(KEY, cells, bad, [b"a"]),
        content_fingerprint(KEY, cells, bad, None),
        content_fingerprint(KEY, cells[:, ::-1], bad, [b"a"]),
        content_fingerprint(KEY, cells, bad + np.uint8(1), [b"a"]),
    }
    assert len(marks) == 4


@pytest.mark.parametrize("use", [
    lambda key: evaluation_mask([b"a"], key, 0.5),
    lambda key: kept_rows([b"a"], np.zeros((1, 1), dtype=np.uint16), np.zeros(1, dtype=np.uint8), key, 1),
    lambda key: content_fingerprint(key, np.zeros((0, 1), dtype=np.uint16), np.zeros(0, dtype=np.uint8), None),
])  # fmt: skip
def test_short_keys_are_refused(use):
    use(b"k" * 16)
    with pytest.raises(ConfigError, match="key has 15 bytes; use at least 16"):
        use(b"k" * 15)
