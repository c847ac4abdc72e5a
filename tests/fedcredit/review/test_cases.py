"""Which decisions wait: within the band, or flagged in the ways that the rule names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.review.cases import decision_of, waiting, why_waiting
from fedcredit.review.review_file import ReviewRule
from fedcredit.scoring.decisions import Decision, DecisionLog, verdict_of

RULE = ReviewRule(band_points=10)


def decision(number, points, *flags, cut_off=600):
    reasons = ({"feature": "age", "text": "Age", "points_lost": 5},)
    verdict = verdict_of(points, cut_off)
    at = f"2026-11-22T10:00:{number:02}+00:00"
    return Decision(f"d-{number}", at, "ab" * 32, "", 0.1, points, reasons, flags, verdict, cut_off)


@pytest.mark.parametrize(
    ("points", "flags", "cut_off", "why"),
    [
        (600, (), 600, ("0 points above the cut-off",)),
        (591, (), 600, ("9 points below the cut-off",)),
        (590, (), 600, ("10 points below the cut-off",)),
        (589, (), 600, ()),
        (611, (), 600, ()),
        (600, (), None, ()),
        (700, ("range:age",), 600, ("flagged input: range:age",)),
        (700, ("range:age", "text:bill"), None, ("flagged input: range:age, text:bill",)),
        (700, ("block:hospital",), 600, ()),
        (600, ("range:age",), 600, ("0 points above the cut-off", "flagged input: range:age")),
    ],
)
def test_the_rule(points, flags, cut_off, why):
    assert why_waiting(decision(1, points, *flags, cut_off=cut_off), RULE) == why


CASES = st.tuples(
    st.integers(560, 640),
    st.lists(st.sampled_from(["range:age", "text:bill", "block:hospital", 'block:"range']), unique=True, max_size=3),
    st.sampled_from([None, 600]),
)


@given(
    cases=st.lists(CASES, max_size=8),
    band=st.integers(0, 30),
    kinds=st.sets(st.sampled_from(["range", "text", "block"])),
)
def test_the_query_finds_exactly_what_the_rule_does(cases, band, kinds, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "decisions.sqlite"
    rule = ReviewRule(band_points=band, flags=tuple(sorted(kinds)))
    made = [decision(n, points, *flags, cut_off=cut_off) for n, (points, flags, cut_off) in enumerate(cases)]
    with DecisionLog(path) as log:
        log.append(made)
        found = list(waiting(path, rule))  # while scoring has it open
    assert found == [one for one in made if why_waiting(one, rule)]


def test_a_decision_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "decisions.sqlite"
    with DecisionLog(path) as log:
        log.append([decision(1, 595, "range:age")])
    assert decision_of(path, "d-1") == decision(1, 595, "range:age")
    with pytest.raises(ConfigError, match="no decision 'd-2'"):
        decision_of(path, "d-2")


def test_a_missing_or_foreign_log_is_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        list(waiting(tmp_path / "none.sqlite", RULE))
    (tmp_path / "foreign.sqlite").write_text("something else")
    with pytest.raises(ConfigError, match="cannot be read"):
        list(waiting(tmp_path / "foreign.sqlite", RULE))
