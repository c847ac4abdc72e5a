"""What the institutions of a simulation and the network between them are like."""

from dataclasses import dataclass, field

from simulations.cohort_events import EventSpec
from simulations.virtual_clock import NetworkSpec


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What goes wrong, what carries the messages, and the seed from which both are drawn."""

    events: EventSpec = field(default_factory=EventSpec)
    network: NetworkSpec = field(default_factory=NetworkSpec)
    seed: int = 0
