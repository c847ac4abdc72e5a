"""The signals that end what serves: none is lost, whenever it comes and whichever thread takes it."""

import os
import signal
import sys
import threading

import pytest

from fedcredit.cli.serving import stop_signals

RESCUED_AFTER_S = 5.0


@pytest.fixture
def held_interpreter():
    """No thread gives the interpreter up before it waits for something."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60.0)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_the_wait_is_not_lost(number):
    before = signal.getsignal(number)
    with stop_signals() as wait:
        os.kill(os.getpid(), number)
        assert wait() == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("held_interpreter")
def test_a_signal_that_interrupts_no_sleep_of_the_main_thread_is_heard(number):
    """As one that comes while that thread is about to sleep: what the interpreter does in C is done, no more."""
    waits, over, late = threading.Lock(), threading.Event(), []
    waits.acquire()

    def take_the_signal():
        # Both the lock and the interpreter are free: the main thread is inside its wait, asleep or not yet.
        with waits:
            signal.pthread_kill(threading.get_ident(), number)
        if not over.wait(RESCUED_AFTER_S):
            late.append(number)
            signal.pthread_kill(threading.main_thread().ident, number)

    with stop_signals() as wait:
        other = threading.Thread(target=take_the_signal)
        other.start()
        waits.release()
        heard = wait()
        over.set()
        other.join()
    assert heard == number
    assert late == []


def test_another_signal_ends_no_wait():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with stop_signals() as wait:
            for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
            assert wait() == signal.SIGINT
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_whoever_was_told_of_signals_before_is_again():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        with stop_signals():
            pass
        assert signal.set_wakeup_fd(before) == writer
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
