"""Every wait of the coordinator, in seconds and in one place."""

from pydantic import BaseModel, ConfigDict, Field


class Pacing(BaseModel):
    """Deadlines and pauses of a coordinator.

    Attributes
    ----------
    institutions_timeout_s
        How long the first step waits for all institutions to be online, and after how long a later one says that
        an institution is away.
    step_timeout_s
        How long a step waits for replies.
    poll_interval_s
        Pause between two looks for replies.
    retry_first_s, retry_longest_s
        Pause before what failed is started again: the first one, and where doubling it ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    institutions_timeout_s: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    step_timeout_s: float = Field(default=1800.0, gt=0, allow_inf_nan=False)
    poll_interval_s: float = Field(default=0.2, ge=0, le=10, allow_inf_nan=False)
    retry_first_s: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    retry_longest_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)

    def retry_s(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure in a row, counted from 1."""
        # Doubled at most 60 times: beyond, a float would overflow before the cap is applied.
        return min(self.retry_first_s * 2.0 ** min(failures - 1, 60), self.retry_longest_s)
