"""Working hours: inside if and only if the clock on the wall is, on every day of the year and at both changes of it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedcredit.custodian.policy import Policy
from fedcredit.custodian.working_hours import DAYS, Window, is_working

BASIC = {"epsilon": 1.0, "delta": 1e-6, "max_epsilon_per_job": 1.0, "unit": "record", "purposes": ["scorecard"]}
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "America/St_Johns")
OFFICE = Window.model_validate({"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00"})
# The last Sundays of March and October 2026: 02:00 becomes 03:00, and 03:00 becomes 02:00.
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)

times = st.integers(0, 24 * 60).map(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}")


@st.composite
def windows(draw):
    start, end = sorted(draw(st.lists(times, min_size=2, max_size=2, unique=True)))
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return Window.model_validate({"days": days, "from": start, "to": end})


def on_the_wall(window, zone, now):
    """The slow twin: walk the local day minute by minute and look the present minute up."""
    local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    hours, minutes = zip(*(map(int, clock.split(":")) for clock in (window.start, window.end)), strict=True)
    opens, closes = (midnight + timedelta(hours=h, minutes=m) for h, m in zip(hours, minutes, strict=True))
    return local.strftime("%a").lower() in window.days and opens <= local < closes


@given(
    st.lists(windows(), min_size=1, max_size=3).map(tuple),
    st.sampled_from(ZONES),
    st.integers(0, 15 * 366 * 86400).map(lambda seconds: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
)
@example((OFFICE,), "Europe/Berlin", SPRING + timedelta(hours=1))
@example((OFFICE,), "Europe/Berlin", AUTUMN + timedelta(hours=1))
def test_inside_if_and_only_if_the_local_clock_is(some, zone, now):
    assert is_working(some, zone, now) == any(on_the_wall(window, zone, now) for window in some)


@pytest.mark.parametrize("midnight", [SPRING, AUTUMN])
def test_every_half_hour_around_a_change_of_the_clock(midnight):
    window = Window.model_validate({"days": ["sun"], "from": "02:00", "to": "03:30"})
    instants = [midnight + timedelta(minutes=30 * step) for step in range(-8, 24)]
    found = [now for now in instants if is_working((window,), "Europe/Berlin", now)]
    assert found == [now for now in instants if on_the_wall(window, "Europe/Berlin", now)]
    # In spring the hour from 2 to 3 does not happen; in autumn it happens twice.
    assert len(found) == (1 if midnight == SPRING else 5)


def test_the_same_hour_on_the_wall_is_another_instant_in_summer():
    winter, summer = datetime(2026, 1, 14, 7, 0, tzinfo=UTC), datetime(2026, 7, 15, 6, 0, tzinfo=UTC)
    for instant in (winter, summer):
        assert is_working((OFFICE,), "Europe/Berlin", instant)
        assert not is_working((OFFICE,), "Europe/Berlin", instant - timedelta(seconds=1))


def test_a_machine_in_another_zone_counts_the_same_instant():
    now = datetime(2026, 7, 15, 6, 0, tzinfo=UTC).astimezone(ZoneInfo("America/New_York"))
    assert is_working((OFFICE,), "Europe/Berlin", now)


def refused(words, zone="Europe/Berlin", **window):
    hours = {"days": ["mon"], "from": "08:00", "to": "18:00", **window}
    with pytest.raises(ValidationError, match=words):
        Policy.model_validate({**BASIC, "working_hours": [hours], "timezone": zone})


def test_a_window_that_spans_midnight_is_to_be_written_as_two():
    refused("two", **{"from": "22:00", "to": "06:00"})
    refused("ends before it begins", to="08:00")
    nights = [{"days": ["mon"], "from": "22:00", "to": "24:00"}, {"days": ["tue"], "from": "00:00", "to": "06:00"}]
    own = Policy.model_validate({**BASIC, "working_hours": nights, "timezone": "UTC"})
    monday = datetime(2026, 11, 23, 21, 59, tzinfo=UTC)
    held = [is_working(own.working_hours, "UTC", monday + timedelta(minutes=one)) for one in (0, 1, 121, 8 * 60, 481)]
    assert held == [False, True, True, True, False]


@pytest.mark.parametrize("clock", [1080, "8:00", "25:00", "08:60", "24:01", "08:00:00", None])
def test_a_time_that_yaml_or_a_hurry_made_of_it(clock):
    refused("HH:MM", to=clock)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../../etc/passwd", "", "/etc/localtime"])
def test_an_unknown_time_zone_says_how_to_mend_it(zone):
    refused("tzdata", zone=zone)


def test_an_unknown_day_is_refused():
    refused("days", days=["monday"])
    refused("days", days=[])
