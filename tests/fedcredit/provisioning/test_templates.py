import pytest

from fedcredit.errors import ConfigError
from fedcredit.provisioning.templates import filled, read_template

TEMPLATE = """\
# name: of a comment, at whose beginning no key stands alone
name: x            # who
data:              # where from
  kind: parquet    # or csv
  path: a.parquet
# proxy: http://p  # optional
other:
  path: b
"""


def test_values_change_and_comments_stay_in_their_column():
    out = filled(TEMPLATE, "T", {"name": "name: bank-a", "data.path": "path: b.csv", "proxy": "proxy: http://q"})
    assert out.splitlines()[1:7] == [
        "name: bank-a       # who",
        "data:              # where from",
        "  kind: parquet    # or csv",
        "  path: b.csv",
        "proxy: http://q    # optional",
        "other:",
    ]


def test_a_long_value_pushes_its_comment():
    assert "name: a-very-long-value-indeed  # who\n" in filled(
        TEMPLATE, "T", {"name": "name: a-very-long-value-indeed"}
    )


def test_a_key_can_be_renamed_below_its_parent():
    out = filled(TEMPLATE, "T", {"data.kind": "sort: csv"})
    assert "  sort: csv        # or csv\n" in out


@pytest.mark.parametrize("place", ["nothing", "data.nothing", "path", "none.path"])
def test_a_missing_place_is_refused(place):
    with pytest.raises(ConfigError, match=f"template T has 0 lines for '{place}', not one"):
        filled(TEMPLATE, "T", {place: "a: b"})


def test_a_place_that_stands_twice_is_refused():
    with pytest.raises(ConfigError, match="has 2 lines for 'name'"):
        filled(TEMPLATE + "name: y\n", "T", {"name": "name: z"})


def test_a_template_that_is_not_there_names_the_kit(tmp_path):
    with pytest.raises(ConfigError, match="as --kit"):
        read_template(tmp_path / "SITE.yaml")
