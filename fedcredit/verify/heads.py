"""Ledger heads over one job: each member's ledger grows from message to message, and shows everybody one history."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedcredit.errors import RefusalError, WireError
from fedcredit.job.admission import authenticated
from fedcredit.plan import Plan
from fedcredit.verify.checks import Check, failed
from fedcredit.wire.heads import Head, read_head
from fedcredit.wire.messages import Receipt

_NAME = "ledger heads"


@dataclass(slots=True)
class HeadLog:
    """The heads of a job's messages, in the job's order."""

    _last: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _hashes: dict[tuple[str, int], bytes] = field(default_factory=dict)
    _found: list[Check] = field(default_factory=list)

    def problems(self) -> list[Check]:
        """What does not hold."""
        return [*self._found]

    def take(self, where: str, head: Head, packet: bytes, plan: Plan | None = None) -> None:
        """Take the head of a member's message; with `plan` its signature is checked as well."""
        if plan is not None and not _holds(plan, head):
            self._found.append(failed(_NAME, where, "the head is not signed by its ledger's owner"))
            return
        self._see(where, head)
        self._rise(where, head.institution, head.event_count, packet)

    def take_testimony(self, plan: Plan, where: str, heads: Iterable[bytes]) -> None:
        """Take what a member says that it saw of others."""
        for data in heads:
            try:
                head = read_head(data)
            except WireError as error:
                self._found.append(failed(_NAME, where, str(error)))
                continue
            if _holds(plan, head):
                self._see(where, head)
            else:
                self._found.append(failed(_NAME, where, f"it shows a head that {head.institution} did not sign"))

    def take_receipts(self, plan: Plan, packets: Mapping[str, bytes]) -> None:
        """Take the counts in receipts; what else is wrong with one is the business of another check."""
        for name, packet in packets.items():
            try:
                receipt = authenticated(plan, name, packet)
            except (RefusalError, WireError):
                continue
            if isinstance(receipt, Receipt):
                self._rise(f"release, {name}", name, receipt.event_count, packet)

    def _rise(self, where: str, institution: str, count: int, packet: bytes) -> None:
        before, last = self._last.get(institution, (0, b""))
        # A join that was asked for again is the same envelope.
        if count <= before and packet != last:
            self._found.append(failed(_NAME, where, f"the ledger has {count} events and had {before} before"))
        self._last[institution] = (count, packet)

    def _see(self, where: str, head: Head) -> None:
        known = self._hashes.setdefault((head.institution, head.event_count), head.event_hash)
        if known != head.event_hash:
            self._found.append(
                failed(_NAME, where, f"{head.institution} has signed two events as its {head.event_count}th")
            )


def _holds(plan: Plan, head: Head) -> bool:
    member = plan.roster.member(head.institution)
    return member is not None and head.holds(bytes.fromhex(member.public_key))
