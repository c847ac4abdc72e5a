"""A stop in the middle of a request, a second custodian on a ledger in use, and the real command killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.crash.crew as crew_module
from clients.relay import relay
from fedcredit.audit.reading import lines_of
from fedcredit.audit.trail_file import trail_of
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import Contribution, IdentifyReply, IdentifyRequest
from tests.crash.consortium import KINDS, Consortium, found
from tests.crash.crew import ROOT, Crew, Kill
from tests.crash.violations import lines, read_job, violations

WAIT_S = 60.0
A, B, H = KINDS


@pytest.fixture
def consortium() -> Iterator[Consortium]:
    """In a folder whose name leaves room for a Unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        yield found(Path(name), "distributed")


@pytest.fixture
def serve() -> Iterator[Callable[[Path], subprocess.Popen]]:
    """Start the real command; it is gone when the test ends."""
    started = []

    def start(site: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", "from fedcredit.cli import main; main()", "custodian", "serve", str(site)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("place", ["before rehearse", "after noise", "before COMMIT"])
def test_a_stop_in_the_middle_of_a_request_finishes_it(warmed, consortium, place):
    """Its answer arrives, charged and stored; the socket is removed; the next process goes on with the job."""
    job = consortium.job("job-0")
    crew = Crew(warmed, consortium)
    try:
        passage = 5 if place == "before COMMIT" else 2
        hit = crew.run(job, [Kill(A, place, passage, gently=True)])
    finally:
        crew.close()
    done = read_job(consortium, job)
    assert violations(done) == []
    assert len(hit) == 1
    places = [line.get("at", "start") for line in after_the_signal(consortium)]
    assert places.index("after answer") < places.index("start")
    answers = [message for message, _ in done.got(A) if isinstance(message, Contribution)]
    assert ("TRAIN", 1, 1) in {(message.role.name, message.round, message.attempt) for message in answers}
    assert [step[:4] for step in done.steps if step[:2] == ["train", 1]] == [["train", 1, 1, "done"]]
    assert "stopped" in crew.log(A)


def test_who_is_waited_for_in_vain_says_where_it_is(warmed, consortium, monkeypatch):
    monkeypatch.setattr(crew_module, "STUCK_AFTER_S", 2.0)
    crew = Crew(warmed, consortium)
    try:
        with pytest.raises(RuntimeError, match="nothing ended") as stuck:
            crew.run(consortium.job("job-0"), [Kill(A, "a place that is nowhere")])
    finally:
        crew.close()
    parts = str(stuck.value).split("--- ")
    for institution in KINDS:
        (part,) = [part for part in parts if part.startswith(f"{institution}, last seen ")]
        assert "most recent call first" in part


@pytest.mark.long
def test_a_stop_does_not_wait_for_a_long_request_and_loses_nothing(warmed, consortium):
    """The answer is charged and stored after the connection is gone, and sent when it is asked for again."""
    job = consortium.job("job-0")
    crew = Crew(warmed, consortium, {A: "slow"})
    try:
        crew.run(job, [Kill(A, "after noise", 2, gently=True)])
    finally:
        crew.close()
    done = read_job(consortium, job)
    assert violations(done) == []
    places = [line.get("at", "start") for line in after_the_signal(consortium)]
    assert places.index("after send") < places.index("after commit") < places.index("start")
    assert [step[:4] for step in done.steps if step[:2] == ["train", 1]] == [["train", 1, 1, "done"]]


def test_a_stop_removes_the_socket_and_ends_the_trail(consortium, serve):
    process = serve(consortium.site(A))
    assert process.stdout.readline().startswith("serving")
    assert consortium.socket(A).is_socket()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert not consortium.socket(A).exists()
    assert list(lines_of(trail_of(consortium.ledger(A))))[-1].values["event"] == "stop"


def test_a_ledger_has_one_custodian_until_that_one_is_killed(consortium, serve):
    """Another socket does not help; and a kill -9 leaves a lock, a socket and a log behind that stop nobody."""
    site, other = consortium.site(A), consortium.site(A).with_name("OTHER.yaml")
    other.write_text(site.read_text().replace(f"{A}.sock", "other.sock"))
    other.chmod(0o644)
    first = serve(site)
    assert first.stdout.readline().startswith("serving")
    before = consortium.ledger(A).read_bytes()
    for taken, words in ((site, "in use by another custodian"), (other, "in use by another custodian")):
        second = serve(taken)
        _, said = second.communicate(timeout=WAIT_S)
        assert second.returncode == 1
        assert said.count("\n") == 1
        assert words in said
    assert consortium.ledger(A).read_bytes() == before
    assert _lives(consortium, consortium.socket(A))
    first.kill()
    first.wait(WAIT_S)
    assert consortium.socket(A).is_socket()
    heir = serve(site)
    assert heir.stdout.readline().startswith("serving")
    assert _lives(consortium, consortium.socket(A))
    with Ledger.read(consortium.ledger(A), consortium.key(A).public) as ledger:
        assert ledger.event_count == 1


def after_the_signal(consortium: Consortium) -> list[dict[str, Any]]:
    trace = lines(consortium.trace(A))
    return trace[next(n for n, line in enumerate(trace) if "signalled" in line) :]


def _lives(consortium: Consortium, socket: Path) -> bool:
    """Whether a custodian answers there, with its own signature."""
    coordinator, nonce = SigningKey.load(consortium.folder / "coordinator.pem"), os.urandom(32)
    reply = relay(str(socket), coordinator.seal("coordinator", IdentifyRequest(nonce)), None, WAIT_S)
    return open_envelope(reply).verify(consortium.key(A).public) == IdentifyReply(nonce)
