"""What a request can write into the log."""

import logging
import sys
from io import StringIO

import pytest

from server.fleet_log import LONGEST_LINE, LONGEST_TRACE, MOST_A_MINUTE, Curb, curb_logs


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A logger behind a curb, and what it writes."""

    def __init__(self) -> None:
        self.clock, self._written = Clock(), StringIO()
        handler = logging.StreamHandler(self._written)
        handler.addFilter(Curb(self.clock))
        self._logger = logging.Logger("curbed")
        self._logger.addHandler(handler)

    def say(self, text: str, *values: object) -> None:
        self._logger.warning(text, *values)

    def fail(self, text: str) -> None:
        try:
            _raise(text)
        except ValueError:
            self._logger.exception("it failed")

    def lines(self) -> list[str]:
        return self._written.getvalue().splitlines()


def _raise(text: str) -> None:
    raise ValueError(text)


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_line_stays_one_line_without_control_characters(log: Log) -> None:
    log.say("asked for %s", "a\nERROR all is lost\r\x1b[2J\u202e\u2028")
    assert log.lines() == ["asked for a\\nERROR all is lost\\r\\x1b[2J\\u202e\\u2028"]


def test_a_trace_says_where_and_what(log: Log) -> None:
    log.fail("a\nERROR all is lost")
    assert log.lines()[1] == "  | Traceback (most recent call last):"
    assert log.lines()[-2:] == ["  | ValueError: a", "  | ERROR all is lost"]


def test_plain_text_stays_as_it_is(log: Log) -> None:
    log.say("100 %% of Zürich's %d nodes", 7)
    assert log.lines() == ["100 % of Zürich's 7 nodes"]


def test_a_mistake_in_a_format_is_not_the_caller_s(log: Log) -> None:
    log.say("%d nodes", "seven")
    assert log.lines() == ["%d nodes"]


def test_a_long_line_is_cut(log: Log) -> None:
    log.say("a" * 2**20)
    (line,) = log.lines()
    assert len(line) < LONGEST_LINE + 40
    assert line.endswith(f" … {2**20 - LONGEST_LINE} more")


def test_a_trace_is_short_and_its_lines_look_like_no_others(log: Log) -> None:
    log.fail("a\nERROR all is lost\n" + "\n".join(["x" * 100] * 1000))
    first, *trace = log.lines()
    assert first == "it failed"
    assert all(line.startswith("  | ") for line in trace)
    assert "x" * 100 in trace[-1]
    assert sum(len(line.removeprefix("  | ")) + 1 for line in trace) <= LONGEST_TRACE + 1


def test_one_place_in_the_code_says_little_in_a_minute(log: Log) -> None:
    for number in range(1000):
        log.say("asked for %d", number)
    assert len(log.lines()) == MOST_A_MINUTE
    log.fail("at another place")
    assert log.lines()[-1] == "  | ValueError: at another place"


def test_what_was_left_out_is_counted(log: Log) -> None:
    for second in [0] * (MOST_A_MINUTE + 5) + [60, 60]:
        log.clock.now = second
        log.say("asked")
    assert log.lines()[-2:] == ["asked (and 5 more like it, which are not shown)", "asked"]


def test_all_handlers_are_curbed(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = [logging.StreamHandler(sys.stderr) for _ in range(2)]
    monkeypatch.setattr(logging.getLogger("other.package"), "handlers", handlers[:1])
    monkeypatch.setattr(logging, "lastResort", handlers[1])
    before = {handler: list(handler.filters) for handler in logging.getLogger().handlers}
    curb_logs()
    for handler, filters in before.items():
        handler.filters[:] = filters
    assert all(isinstance(handler.filters[-1], Curb) for handler in handlers)
