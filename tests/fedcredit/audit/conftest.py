"""A bank's site on disk, and its custodian as `fedcredit custodian serve` builds it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fedcredit.audit.lines import Line
from fedcredit.audit.reading import lines_of
from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.plan import EvaluationTerms, Plan
from fedcredit.planning import BudgetShares, JobRequest, make_plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.messages import NO_TRANSCRIPT, JoinRequest, Message, ReleaseRequest, Role, RoundRequest
from tests import tiny
from tests.fedcredit.cli.conftest import Site, cli, folder, site

__all__ = ["cli", "folder", "site"]


@dataclass
class Bank:
    """The site, and one process after another that serves it."""

    site: Site
    plan: Plan
    _open: list[Ledger] = field(default_factory=list)

    @property
    def trail(self) -> Path:
        return trail_of(load_site_file(self.site.file).ledger)

    def start(self) -> Custodian:
        """Start the custodian; the process before is gone, however it ended."""
        self.end()
        file = load_site_file(self.site.file)
        own = load_site(file)
        self._open.append(Ledger.open(file.ledger, own.key))
        return Custodian(own, self._open[-1])

    def end(self) -> None:
        while self._open:
            self._open.pop().close()

    def sealed(self, message: Message, key=None) -> bytes:
        return (key or self.site.coordinator).seal("coordinator", message)

    def ask(self, custodian: Custodian, message: Message, key=None) -> Message:
        return open_envelope(custodian.handle(self.sealed(message, key))).verify(self.site.key().public)

    @property
    def join(self) -> JoinRequest:
        return JoinRequest(self.plan.to_bytes())

    def preflight(self, attempt: int = 1) -> RoundRequest:
        return RoundRequest(self.plan.digest(), Role.PREFLIGHT, 1, attempt, self.plan.members, b"", NO_TRANSCRIPT)

    @property
    def release(self) -> ReleaseRequest:
        return ReleaseRequest(self.plan.digest(), b"{}")

    def lines(self) -> list[Line]:
        return list(lines_of(self.trail))

    def said(self, *names: str) -> list[tuple]:
        """Chosen fields of each line."""
        return [tuple(line.values.get(name) for name in names) for line in self.lines()]


@pytest.fixture
def bank(site: Site, cli: Callable) -> Iterator[Bank]:
    assert cli("ledger", "open", site.file).code == 0
    own = load_site(load_site_file(site.file))
    request = JobRequest(
        job="first",
        purpose=own.policy.purposes[0],
        coordinator="coordinator",
        coordinator_key=site.coordinator.public,
        roster=own.roster,
        privacy=tiny.LOCAL.model_copy(update={"epsilon": 2.0, "masks": False}),
        shares=BudgetShares(),
        model=tiny.spec().model,
        evaluation=EvaluationTerms(score_bins=10),
        evaluation_percent=20,
    )
    made = Bank(site, make_plan(request, own.dictionary))
    yield made
    made.end()
