"""Log lines as text, and what a process that holds records says when it dies: types and places, and no value."""

import logging
import subprocess
import sys

import pytest

from fedcredit.cli.serving import LogFormat, log_to_stderr
from fedcredit.custodian.text_log import TextFormatter


def failed() -> BaseException:
    with pytest.raises(ValueError, match="4711") as caught:
        int("4711 is a bad value")
    return caught.value


def test_an_exception_is_its_type_and_its_places():
    error = failed()
    given = (type(error), error, error.__traceback__)
    record = logging.LogRecord("fedcredit.test", logging.ERROR, "x.py", 1, "request failed at %s", ("bank-1",), given)
    first, kind, *places = TextFormatter().format(record).splitlines()
    assert first.endswith("ERROR fedcredit.test request failed at bank-1")
    assert kind == "ValueError"
    assert any("test_text_log.py" in place for place in places)
    assert "4711" not in TextFormatter().format(record)


@pytest.mark.parametrize("form", list(LogFormat))
def test_what_is_served_logs_no_text_of_an_exception(form, monkeypatch, capsys):
    monkeypatch.setattr(logging, "root", logging.RootLogger(logging.WARNING))
    log_to_stderr(form)
    error = failed()
    logging.root.error("request failed at %s", "bank-1", exc_info=error)
    said = capsys.readouterr().err
    assert "bank-1" in said
    assert "ValueError" in said
    assert "4711" not in said


def test_the_process_that_reads_the_table_dies_without_a_value(tmp_path):
    """Its order is no order; what Pydantic says of it quotes it."""
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "fedcredit.custodian.read_data"],
        input=b'{"kind": "4711"}',
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 1
    assert b"ValidationError" in ran.stderr
    assert b"read_data.py" in ran.stderr
    assert b"4711" not in ran.stderr
