"""A run against one's own ledger: every message that we sent is there as we sent it, and there is no other."""

from collections.abc import Iterator, Mapping

from fedcredit.custodian.site_file import SiteFile
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import RefusalError, WireError
from fedcredit.plan import Plan
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.roster_file import load_roster
from fedcredit.verify.checks import Check, all_or, failed
from fedcredit.verify.replay import Place
from fedcredit.verify.run_files import Recorded
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import Contribution, decode_message

_NAME = "own ledger"


def check_own(
    site: SiteFile,
    plan: Plan,
    recorded: Recorded | None,
    failed_attempts: frozenset[Place],
    receipts: Mapping[str, bytes],
) -> list[Check]:
    """Compare a run with the site's files and ledger, which are only read.

    Raises
    ------
    ConfigError, LedgerError
        If the site's own files cannot be read.
    """
    key = SigningKey.load(site.identity_key)
    found = [*_pinned(site, plan, key)]
    with Ledger.read(site.ledger, key.public) as ledger:
        found += _compared(site, plan, ledger, recorded, failed_attempts, receipts)
        n_events = ledger.event_count
    detail = f"plan, messages and receipt are those of {site.institution}'s ledger ({n_events} events)"
    return all_or(found, _NAME, detail)


def _pinned(site: SiteFile, plan: Plan, key: SigningKey) -> Iterator[Check]:
    if load_roster(site.roster).digest() != plan.roster.digest():
        yield failed(_NAME, "roster", "the plan holds another roster than this site pinned")
    if load_dictionary(site.dictionary).digest().hex() != plan.dictionary:
        yield failed(_NAME, "dictionary", "the plan names another dictionary than this site's")
    if site.coordinators.get(plan.coordinator) != plan.coordinator_key:
        yield failed(_NAME, "coordinator", "the plan's coordinator is not on this site's list with that key")
    member = plan.roster.member(site.institution)
    if member is None or member.public_key != key.public.hex():
        yield failed(_NAME, "identity", "the plan's roster has another key for this institution")


def _compared(
    site: SiteFile,
    plan: Plan,
    ledger: LedgerReader,
    recorded: Recorded | None,
    failed_attempts: frozenset[Place],
    receipts: Mapping[str, bytes],
) -> Iterator[Check]:
    if ledger.job(plan.digest()) is None:
        yield failed(_NAME, "plan", "this ledger never joined this plan")
        return
    stored = ledger.messages(plan.digest())
    yield from _compare_receipt(site, [message for _, kind, message in stored if kind == "close"], receipts)
    if recorded is None:
        return
    own = _by_place([message for _, kind, message in stored if kind == "charge"])
    run = _by_place([packets[site.institution] for packets in recorded.packets.values() if site.institution in packets])
    for place, packet in run.items():
        where = "{} {}, attempt {}".format(*place)
        if place not in own:
            yield failed(_NAME, where, "the run holds a message that this ledger never paid for")
        elif own[place] != packet:
            yield failed(_NAME, where, "the run holds another message than this ledger sent")
    for place in own:
        if place not in run and place not in failed_attempts:
            where = "{} {}, attempt {}".format(*place)
            yield failed(_NAME, where, "this ledger sent a message that the run does not hold")


def _compare_receipt(site: SiteFile, own: list[bytes], receipts: Mapping[str, bytes]) -> Iterator[Check]:
    mine = next((message for message in own if message), None)
    theirs = receipts.get(site.institution)
    if mine != theirs:
        missing = "the run lacks it" if theirs is None else "the run holds another one"
        yield failed(_NAME, "receipt", missing if mine is not None else "the run holds a receipt that was never given")


def _by_place(packets: list[bytes]) -> dict[Place, bytes]:
    """Contributions by place; other messages, and unreadable ones, are left to the checks of the run."""
    found: dict[Place, bytes] = {}
    for packet in packets:
        try:
            envelope = open_envelope(packet)
            message = decode_message(envelope.kind, envelope.payload)
        except (WireError, RefusalError):
            continue
        if isinstance(message, Contribution):
            found[message.role.name.lower(), message.round, message.attempt] = packet
    return found
