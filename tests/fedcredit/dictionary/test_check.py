import pyarrow as pa
import pytest

from fedcredit.data.sources import CsvSource, TableSource
from fedcredit.dictionary.check import check_table, examine_table
from fedcredit.dictionary.mapping import identity_mapping

GOOD = {"id": list(range(100)), "income": [float(i * 10) for i in range(100)], "delay": [i % 6 for i in range(100)]}
GOOD["bad"] = [i % 2 for i in range(100)]


def findings(small, kind="bank", unit="record", cap=1, **columns):
    table = {**GOOD, **columns}
    source = TableSource(pa.table({name: values for name, values in table.items() if values is not None}))
    return examine_table(small, kind, identity_mapping(small, kind), source, unit=unit, cap=cap)


def replaced(column: str, values: list) -> list:
    return values + GOOD[column][len(values) :]


def test_a_good_table_has_no_findings(small):
    result = findings(small)
    assert (result.problems, result.notes) == ((), ())
    assert findings(small, unit="person").problems == ()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"income": replaced("income", [2000.0] * 5)}, "income: 5 of 100 values (5.00%) lie outside [0, 1000] EUR"),
        ({"income": [str(v) for v in replaced("income", ["?"] * 3)]}, "income: 3 of 100 values (3.00%) cannot be read"),
        ({"income": pa.nulls(100)}, "income: all 100 values are missing"),
        (
            {"income": [v * 100 for v in GOOD["income"]]},
            "income: the values fit the range when divided by 100: unit slip",
        ),
        (
            {"income": [v / 1000 for v in GOOD["income"]]},
            "income: 99 % of the values are below 1/500 of the range's size",
        ),
        ({"delay": [v + 0.5 for v in GOOD["delay"]]}, "delay: 100 of 100 values (100.00%) are no whole numbers"),
        ({"delay": pa.array([0] * 100, pa.date32())}, "column 'delay' has type date32[day], which holds no numbers"),
        ({"bad": replaced("bad", [2, None])}, "bad: 2 of 100 labels are neither good (0) nor bad (1)"),
        ({"bad": [0] * 100}, "bad: every labelled row is good"),
        ({"bad": [1] * 100}, "bad: every labelled row is bad"),
        ({"bad": pa.array([0] * 100, pa.date32())}, "column 'bad' has type date32[day], which holds no codes"),
        ({"id": replaced("id", [None, None])}, "id: 2 rows have no id and take no part"),
        ({"id": [float(v) for v in GOOD["id"]]}, "column 'id' has type double, which holds no ids"),
        ({"delay": None, "bad": None}, "the column 'delay' is missing; add it or map another"),
    ],
)
def test_each_problem_has_its_sentence(small, columns, sentence):
    assert sentence in "\n".join(findings(small, **columns).problems)


def test_everything_is_listed_at_once(small):
    problems = findings(
        small, income=["?"] * 100, delay=None, bad=[0] * 99 + [7], id=[1] * 100, unit="person", cap=2
    ).problems
    starts = ("the column 'delay'", "income: all", "income: 100", "bad: 1 of 100", "bad: every", "id: 1 persons have")
    for start in starts:
        assert any(p.startswith(start) for p in problems), start
    assert "98 rows beyond the cap take no part" in problems[-1]


def test_rare_faults_are_notes(small):
    result = findings(small, income=replaced("income", [-1.0]), id=replaced("id", [99]))
    assert result.problems == ()
    assert len(result.notes) == 2
    assert "1 ids stand more than once" in result.notes[1]


def test_a_frequent_value_outside_the_range_may_be_a_code(small):
    notes = findings(small, income=replaced("income", [-99.0] * 6)).notes
    assert any("one value outside the range stands 6 times: a missing code?" in note for note in notes)
    coded = findings(small, income=replaced("income", [-9.0] * 6))  # the dictionary knows -9
    assert (coded.problems, coded.notes) == ((), ())


def test_unknown_categories(small):
    sector = ["1"] * 60 + ["2"] * 30 + ["x"] * 5 + ["new"] * 5
    (problem,) = findings(small, kind="hospital", sector=sector).problems
    assert problem.startswith("sector: 5 of 100 values (5.00%) have codes that the dictionary does not know")
    (empty,) = findings(small, kind="hospital", sector=["x"] * 100).problems
    assert empty.startswith("sector: all 100 values are missing")


def test_unit_person_needs_an_id_column(small):
    sector = ["1"] * 100
    assert findings(small, kind="hospital", sector=sector, unit="person").problems == (
        "unit person needs the column with the person's id; set id_column in the mapping",
    )


def test_an_empty_file_and_a_wrong_mapping(small, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,income,delay,bad\n")
    mapping = identity_mapping(small, "bank")
    (problem,) = check_table(small, "bank", mapping, CsvSource(path))
    assert problem.endswith("has no rows; check the export")
    problems = check_table(small, "hospital", mapping, CsvSource(path))
    assert problems[0] == "sector: no column is mapped to it; add it"
    assert len(problems) == 3


def test_no_record_value_is_repeated(small):
    marker = "31337"
    result = findings(
        small,
        income=[marker] * 50 + ["text" + marker] * 50,
        delay=[int(marker)] * 100,
        bad=[int(marker)] * 100,
        id=[marker] * 100,
        unit="person",
    )
    assert len(result.problems) >= 5
    assert marker not in " ".join(result.problems + result.notes)
