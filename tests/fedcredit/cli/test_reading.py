"""What `custodian serve` says while it reads a large table."""

import json
import os

import pytest

from fedcredit.cli.reading import SLOW_ROWS, Lines, shown
from fedcredit.cli.serving import LogFormat
from fedcredit.custodian.data_process import Reading


def test_a_line_names_rows_percent_and_seconds_left(capsys):
    Lines(LogFormat.TEXT, "bank-1", between=0.0)(Reading(2_400_000, 0.24))
    assert capsys.readouterr().out == "reading bank-1: 2,400,000 rows, 24 %, about 0 s left\n"
    Lines(LogFormat.JSON, "bank-1", between=0.0)(Reading(2_400_000, 0.24))
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["institution"], said["rows"], said["percent"]) == ("reading", "bank-1", 2_400_000, 24)
    assert said["seconds_left"] == 0


def test_the_rest_is_estimated_from_what_is_done(capsys, monkeypatch):
    clock = iter([100.0, 104.0, 112.0, 115.0, 136.0])
    monkeypatch.setattr("fedcredit.cli.reading.time.monotonic", lambda: next(clock))
    lines = Lines(LogFormat.TEXT, "bank-1")
    for done in (0.1, 0.25, 0.3, 0.75):
        lines(Reading(int(1000 * done), done))
    assert [line.partition(", ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "25 %, about 36 s left",
        "75 %, about 12 s left",
    ]


def test_a_table_that_is_read_whole_is_named_only_if_it_takes_long(capsys):
    lines = Lines(LogFormat.TEXT, "bank-1")
    lines(Reading(SLOW_ROWS, None))
    assert capsys.readouterr().out == ""
    lines(Reading(SLOW_ROWS + 1, None))
    assert (
        capsys.readouterr().out == f"reading bank-1: {SLOW_ROWS + 1:,} rows, read; cells, roles and hashes come next\n"
    )


@pytest.mark.parametrize("done", [None, 0.5])
def test_a_terminal_has_a_bar(done, monkeypatch):
    terminal, own = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(own, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        with shown(LogFormat.TEXT, "bank-1") as on_reading:
            on_reading(Reading(1_000, done))
    drawn = b""
    while b"1,000 rows" not in drawn:  # nobody writes any more, so what is missing is an error of the terminal's
        drawn += os.read(terminal, 2**16)
    os.close(terminal)
    assert b"reading bank-1" in drawn


def test_without_a_terminal_there_are_lines():
    with shown(LogFormat.TEXT, "bank-1") as on_reading:
        assert isinstance(on_reading, Lines)
