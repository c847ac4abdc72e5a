"""The log of links: who else writes it, what a crash leaves of a line, and a key that changes."""

from datetime import UTC, datetime

import pytest

from fedcredit.audit.reading import check, lines_of
from fedcredit.errors import LedgerError
from fedcredit.linked.log import change_log_key, newest, record
from fedcredit.wire.envelope import SigningKey

NOW, KEY = datetime(2030, 6, 30, tzinfo=UTC), SigningKey.generate()


@pytest.fixture
def log(tmp_path):
    for number in (1, 2):
        record(tmp_path / "log", KEY, NOW, {"event": f"event {number}"})
    return tmp_path / "log"


def events(path) -> list[str]:
    return [line.values["event"] for line in lines_of(path)]


def test_reading_makes_nothing(tmp_path):
    assert newest(tmp_path / "log", KEY).number == 0
    assert not list(tmp_path.iterdir())


def test_an_offer_whose_line_somebody_else_took_is_not_made(log):
    before = newest(log, KEY)
    record(log, KEY, NOW, {"event": "another offer"})
    with pytest.raises(LedgerError, match="was written meanwhile; run the command again"):
        record(log, KEY, NOW, {"event": "offer"}, before)
    record(log, KEY, NOW, {"event": "offer"}, newest(log, KEY))
    assert events(log) == ["event 1", "event 2", "another offer", "offer"]


def test_a_line_that_a_crash_tore_is_cut_off_and_kept(log):
    """What it was to allow never left: it is written before anything does."""
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"entry":{"event":"to')
    assert newest(log, KEY).number == 2
    record(log, KEY, NOW, {"event": "event 3"})
    assert events(log) == ["event 1", "event 2", "event 3"]
    assert log.with_name("log.torn").read_bytes() == b'{"entry":{"event":"to\n'
    assert check(log, KEY.public).torn_bytes == 0


def test_it_goes_on_under_another_identity_key(log):
    new = SigningKey.generate()
    with pytest.raises(LedgerError, match="is not signed by"):
        record(log, new, NOW, {"event": "event 3"})
    for _ in range(2):
        change_log_key(log, KEY, new, NOW)
    record(log, new, NOW, {"event": "event 3"})
    assert events(log) == ["event 1", "event 2", "key_changed", "event 3"]
    assert check(log, new.public) == check(log, KEY.public)
    change_log_key(log.with_name("none"), KEY, new, NOW)
    assert not log.with_name("none").exists()
