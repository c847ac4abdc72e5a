"""JSON that somebody made to be slow, deep or double."""

import pytest

from fedcredit.wire.canonical import parse_json


@pytest.mark.timeout(20)
def test_a_repeated_key_among_very_many_is_named_at_once():
    """Counting each key by itself would take hours."""
    names = ",".join(f'"k{number}":0' for number in range(100_000))
    with pytest.raises(ValueError, match=r"repeats the keys \['k7'\]"):
        parse_json(f'{{{names},"k7":1}}'.encode())


def test_few_of_many_repeated_keys_are_named():
    with pytest.raises(ValueError, match="repeats the keys") as refused:
        parse_json(("{" + ",".join(f'"k{number}":0' for number in [*range(900), *range(900)]) + "}").encode())
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", "-Infinity", '{"a": Infinity}', "9" * 5000])
def test_what_is_too_deep_or_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON|digits"):
        parse_json(text.encode())
