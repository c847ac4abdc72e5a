"""The virtual clock: what an exchange of a simulated job takes."""

import numpy as np
import pytest

from simulations.virtual_clock import NetworkSpec, VirtualClock

QUIET = NetworkSpec(latency_ms=0.0, bandwidth_mbit=8.0, poll_s=0.0, timeout_s=10.0)  # a million bytes a second
EVERYBODY = np.arange(3)
ROWS = np.array([0, 500_000, 0])


def seconds(spec: NetworkSpec, asked: np.ndarray, answered: np.ndarray, n_bytes: tuple[int, int]) -> float:
    clock = VirtualClock(spec, 3, 0)
    clock.exchange(asked, answered, n_bytes, ROWS)
    return clock.time().seconds


def test_an_exchange_takes_its_slowest_member_and_everybodys_bytes():
    """0.02 s of a custodian, 0.5 s of half a million rows, 0.5 s for its bytes, 1.5 s at the coordinator."""
    assert seconds(QUIET, EVERYBODY, EVERYBODY, (200_000, 300_000)) == pytest.approx(2.52)


def test_who_is_silent_is_waited_for():
    assert seconds(QUIET, EVERYBODY, np.array([0]), (0, 0)) == pytest.approx(10)
    assert seconds(QUIET, EVERYBODY, np.zeros(0, dtype=np.int64), (0, 0)) == pytest.approx(10)


def test_latency_and_polls_differ_between_members_and_are_drawn_from_the_seed():
    far = NetworkSpec(latency_ms=50.0, bandwidth_mbit=1000.0, poll_s=3.0, timeout_s=60.0)
    one, two = (VirtualClock(far, 1000, seed) for seed in (1, 1))
    everybody, rows = np.arange(1000), np.zeros(1000, dtype=np.int64)
    for clock in (one, two):
        clock.exchange(everybody, everybody, (1000, 1000), rows)
    assert one.time() == two.time()
    assert 3.0 < one.time().seconds < 3.5  # of a thousand, somebody waited for nearly a whole poll
    assert one.time().exchanges == 1


def test_the_sentence_names_the_time_and_the_assumptions():
    clock = VirtualClock(NetworkSpec(timeout_s=90.0), 50, 0)
    clock.exchange(np.arange(50), np.arange(49), (0, 0), np.zeros(50, dtype=np.int64))
    sentence = clock.time().sentence()
    for part in ("1 min 30 s", "1 exchanges with 50 institutions", "50 ms", "100 Mbit/s", "a model, not"):
        assert part in sentence
