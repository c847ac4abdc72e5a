"""Working hours: when an institution takes a new job and makes a new contribution, by the clock on its own wall.

A window lies within one day, on the local wall clock of the policy's time zone, so it follows daylight saving time.
"""

import re
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _clock(value: object) -> object:
    """Let through HH:MM only; YAML reads a bare 18:00 as the number 1080."""
    if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", value):
        return value
    raise ValueError(f'{value!r:.40} is not a time of day; write it as "HH:MM", in quotes, from "00:00" to "24:00"')


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(
            f"time zone {name!r:.60} is not known on this machine; write a name such as Europe/Berlin, and install the "
            "system's package tzdata if it is missing"
        ) from error
    return name


Clock = Annotated[str, BeforeValidator(_clock)]
Zone = Annotated[str, AfterValidator(_zone)]


class Window(BaseModel):
    """Hours of some days of the week.

    Attributes
    ----------
    days
        mon, tue, wed, thu, fri, sat, sun.
    start, end
        HH:MM; `start` (in the file: from) belongs to the window, `end` (in the file: to) does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[Day, ...] = Field(min_length=1)
    start: Clock = Field(alias="from")
    end: Clock = Field(alias="to")

    @model_validator(mode="after")
    def _within_a_day(self) -> Self:
        if self.start >= self.end:
            raise ValueError(
                f"a window from {self.start} to {self.end} ends before it begins; write one that spans midnight as "
                'two, the first to "24:00" and the second from "00:00" of the next day'
            )
        return self

    def holds(self, local: datetime) -> bool:
        """Tell whether a moment on the wall clock is in the window; HH:MM sorts as time does."""
        return DAYS[local.weekday()] in self.days and self.start <= f"{local:%H:%M}" < self.end

    def __str__(self) -> str:
        return f"{', '.join(self.days)} {self.start} to {self.end}"


def is_working(windows: tuple[Window, ...], zone: str, now: datetime) -> bool:
    """Tell whether an instant is in one of the windows.

    Parameters
    ----------
    windows
        Any of them will do.
    zone
        IANA name of the time zone whose wall clock counts.
    now
        The instant, with a time zone of its own.
    """
    local = now.astimezone(ZoneInfo(zone))
    return any(window.holds(local) for window in windows)
