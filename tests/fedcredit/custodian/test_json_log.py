"""JSON log lines: one object each, with the names of what this package writes and no text of an exception."""

import json
import logging

import pytest

from fedcredit.custodian.json_log import EVENTS, OTHER, JsonFormatter
from tests.privacy.test_log_lines import FORMATS


def line_of(name, message, *args, **kwargs):
    record = logging.getLogger("fedcredit.test").makeRecord(
        "fedcredit.test", getattr(logging, name), "x.py", 1, message, args, kwargs.get("exc_info")
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_every_format_of_the_package_has_a_name_and_its_fields():
    known = set().union(*FORMATS.values())
    assert set(EVENTS) == known
    for text, (name, fields) in EVENTS.items():
        assert text.count("%s") == len(fields)
        assert name != OTHER


def test_a_refusal_has_fields():
    line = line_of("WARNING", "%s refused a request (%s): %s", "bank-1", "budget", 'said "no"\nand more')
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "event": "request-refused",
        "logger": "fedcredit.test",
        "institution": "bank-1",
        "code": "budget",
        "sentence": 'said "no"\nand more',
    }


@pytest.mark.parametrize(("message", "args"), [("other %d", (3,)), ("plain", ()), ("%(a)s", ({"a": "other 3"},))])
def test_a_line_of_a_library_is_kept_as_it_is(message, args):
    line = line_of("INFO", message, *args)
    assert (line["event"], line["level"]) == (OTHER, "info")
    assert line["text"] in {"other 3", "plain"}


def test_an_exception_is_its_type_and_its_places():
    with pytest.raises(ValueError, match="4711") as caught:
        int("4711 is a bad value")
    line = line_of("ERROR", "request failed at %s", "bank-1", exc_info=caught._excinfo)
    assert (line["event"], line["error"]) == ("request-failed", "ValueError")
    assert "test_an_exception_is_its_type_and_its_places" in line["passed"][0]
    assert "4711" not in json.dumps(line)
