"""The rival that protects whole institutions in a sweep's table: columns of its own, and words."""

from dataclasses import replace

from simulations.results import ClientLevelResult
from simulations.sweeps.page import utility_table
from simulations.sweeps.rows import row_of
from tests.simulations.sweeps.conftest import finished


def test_it_is_a_column_and_called_what_it_is(composed, run_result):
    rival = ClientLevelResult(run_result.joint, replace(run_result.privacy["bank-1"], unit="institution"))
    bare, row = (
        row_of("one", finished(composed, one)) for one in (run_result, replace(run_result, client_level=rival))
    )
    assert row["client_level.bank.auc"] == 0.7633
    assert {*row} - {*bare} == {name for name in row if name.startswith("client_level.")}
    table, without = (utility_table({"all runs": [one]}) for one in (row, bare))
    assert "institutions†, bank" in table.columns
    assert "† protects whole institutions, not records" in table.note
    assert "†" not in without.note + "".join(without.columns)
