import pytest

from fedcredit.dictionary.strict_yaml import MAX_BYTES, parse_yaml
from fedcredit.errors import ConfigError, DictionaryError


def test_merge_keys_work_and_may_be_overridden():
    document = parse_yaml(b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", "doc")
    assert document["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a: 1\nb: 2\na: 3", "doc is not valid YAML at line 3: the key 'a' stands twice"),
        (b"a: {b: 1, b: 2}", "the key 'b' stands twice"),
        (b"a: [1", "doc is not valid YAML"),
        (b"a: !!python/object:os.system x", "doc is not valid YAML at line 1"),
        (b"\xff\xfe\x00", "doc is not valid YAML"),
        (b"- 1", "doc holds no keys at its top level"),
        (b"", "doc holds no keys at its top level"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "doc is nested too deeply"),
        (b"#" * (MAX_BYTES + 1), "more than the 1000000 that are read"),
    ],
)
def test_faults(text, sentence):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "doc")
    assert sentence in str(caught.value)


def test_the_class_of_the_error_is_the_callers():
    with pytest.raises(DictionaryError):
        parse_yaml(b"", "doc", DictionaryError)


@pytest.mark.parametrize("link", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_do_not_multiply(link):
    """Some hundred bytes that would be 9^9 values once written out, e.g. in a message about them."""
    first = "a0: &a0 {k: 1}"
    rest = (f"a{i}: &a{i} {link.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 10))
    with pytest.raises(ConfigError, match="aliases repeat too much"):
        parse_yaml("\n".join((first, *rest)).encode(), "a file")


def test_a_value_within_itself_is_refused():
    with pytest.raises(ConfigError, match="aliases repeat too much"):
        parse_yaml(b"a: &a [*a]", "a file")
