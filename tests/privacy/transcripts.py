"""What leaves custodians in a job, line by line: messages by their hash, and what their ledgers hold at the end."""

import hashlib
import itertools
from collections.abc import Callable

from fedcredit.custodian.custodian import Custodian
from fedcredit.privacy.ledger_export import export_lines
from fedcredit.wire.messages import JoinRequest, Role
from simulations.federation import Federation, JobSpec
from tests import privacy_checks as checks
from tests import tiny

Lines = list[str]


class Transcript:
    """What left the custodians of one consortium, in order, and what their ledgers held at the end."""

    def __init__(self, consortium: Federation) -> None:
        self.consortium = consortium
        self.lines: Lines = []

    def ask(self, custodian: Custodian, request: bytes) -> bytes:
        """One request; its answer is written down."""
        reply = custodian.handle(request)
        self.lines.append(f"message {custodian.institution} {len(reply)} {hashlib.sha256(reply).hexdigest()}")
        return reply

    def ask_message(self, custodian: Custodian, message) -> None:
        """One message that is signed here."""
        self.ask(custodian, self.consortium.coordinator_key.seal("coordinator", checks.addressed(custodian, message)))

    def close(self, *custodians: Custodian) -> Lines:
        """All lines, the ledgers' among them."""
        for custodian in custodians:
            exported = export_lines(custodian.ledger.rows(), self.consortium.keys[custodian.institution])
            self.lines.extend(f"ledger {custodian.institution} {line.decode().strip()}" for line in exported)
        return self.lines


def whole_job(
    job: JobSpec,
    consortium: Federation | None = None,
    members: dict[str, Custodian] | None = None,
    silent: Callable[[str, int], bool] = lambda _name, _step: False,
    quorum: int | None = None,
) -> Lines:
    """Every message of a job, in which some may stay silent."""
    consortium = consortium or tiny.federation(job)
    members = members or tiny.custodians(consortium, job)
    out, driver = Transcript(consortium), tiny.coordinator(consortium, quorum=quorum)
    for number in itertools.count():
        step = driver.next_step()
        if step is None:
            return out.close(*members.values())
        asked = {name: request for name, request in step.requests.items() if not silent(name, number)}
        driver.receive({name: out.ask(members[name], request) for name, request in asked.items()})
    raise AssertionError


def preflight(out: Transcript, attempt: int):
    return checks.round_request(out.consortium, Role.PREFLIGHT, b"", attempt)


def after_join(steps, consortium: Federation | None = None, job: JobSpec | None = None) -> Lines:
    """What a bank that has joined answers."""
    job = job or tiny.spec()
    out = Transcript(consortium or tiny.federation(job))
    bank = checks.joined(out.consortium, job)
    steps(out, bank)
    return out.close(bank)


def joined_only(consortium: Federation, bank: Custodian) -> Lines:
    """The answer to a join."""
    out = Transcript(consortium)
    out.ask_message(bank, JoinRequest(consortium.plan.to_bytes()))
    return out.close(bank)
