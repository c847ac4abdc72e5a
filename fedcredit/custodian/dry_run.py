"""A dry run: every phase of a plan against the true records, up to the signed bytes, which are then thrown away.

First the true plan is joined on a copy of the ledger in memory, so that what would be refused is refused here with the
same code. Then the custodian's own code answers a whole job in a consortium that is made up for this run
(`fedcredit.custodian.made_up`), on a ledger in memory. So guard, rehearsal, sums, noise, masks, signature and charge
are gone through as in a real job, the noise under a key of its own from the operating system; and nothing exists at
any time that a coordinator could be sent.

What a coordinator would make of everybody's sums is not known here. Public stand-ins take their place: after preflight
the members' declared sizes, spread evenly over cells and classes; after a training round sums of zero, a round in
which the model fits. The models that rounds and evaluation run on follow from these and from the plan alone.
"""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.approvals import Approvals
from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.jobs_folder import JobsFolder
from fedcredit.custodian.made_up import MadeUp, made_up, unattended
from fedcredit.custodian.noise import NoiseLaw, no_noise, rounded_gaussian_noise
from fedcredit.custodian.open_jobs import OpenJobs
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import BudgetError, LedgerError, RefusalError
from fedcredit.job.progress import CHARGED, Progress, advance, request_model, start
from fedcredit.job.store import Decided, Outcome
from fedcredit.plan import Plan, parse_plan, plan_digest
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.wire.envelope import Envelope, open_envelope
from fedcredit.wire.messages import (
    NO_TRANSCRIPT,
    JoinRequest,
    KeysReply,
    KeysRequest,
    Message,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One message that would leave.

    Attributes
    ----------
    phase, round
        Of the job; round 0 outside of rounds.
    envelope, message
        Signed under a made-up identity, in a made-up job. A refusal is the last one.
    size
        Bytes; the true message has as many.
    seconds
        Between request and reply.
    """

    phase: str
    round: int
    envelope: Envelope
    message: Message
    size: int
    seconds: float


def ledger_copy(path: Path, public_key: bytes) -> Ledger:
    """A verified copy of a ledger in memory; no file is left behind, also where no custodian serves.

    Raises
    ------
    LedgerError
        If the ledger is missing, damaged, or signed by another key.
    """
    log = path.with_name(path.name + "-wal")
    served = log.exists()
    with Ledger.read(path, public_key) as reader:
        copy = Ledger.rehearsal(reader)
    if log.exists() and not served:
        # The reader had to make SQLite's two side files; the last to close one that may write takes them away again.
        connection = sqlite3.connect(path)
        connection.execute("SELECT count(*) FROM event").fetchone()
        connection.close()
    return copy


def would_refuse(site: Site, ledger: Ledger, data: bytes) -> RefusalError | None:
    """Why the custodian would refuse to join a plan now; None if it would, or would wait for its operator's yes.

    Parameters
    ----------
    ledger
        A copy in memory; the job is joined on it.
    data
        The plan's exact bytes.

    Raises
    ------
    ConfigError
        If the bytes are no plan.
    """
    account, coordinator = ledger.account, parse_plan(data).coordinator
    try:
        if site.jobs_folder is not None:
            folder = JobsFolder(site.jobs_folder)
            Approvals(folder, site.institution, account.population, site.key.public).guard_not_denied(plan_digest(data))
        OpenJobs(unattended(site), ledger, _budget(site, account)).join(data, coordinator)
    except RefusalError as error:
        return error
    except BudgetError as error:
        return RefusalError("budget", str(error))
    except LedgerError as error:
        return RefusalError("ledger", str(error))
    return None


def dry_run(site: Site, account: Account, plan: Plan) -> Iterator[Rehearsed]:
    """Every message that the site would send in a job in which everybody answers, in order.

    Parameters
    ----------
    account
        What the site's ledger was opened for.
    plan
        One that `would_refuse` has no reason against.
    """
    consortium = made_up(site, plan)
    with Ledger.create(None, consortium.site.key, account) as ledger:
        custodian = Custodian(consortium.site, ledger, noise_law=_noise_law(site, account))
        progress, agreed = start(consortium.plan), NO_TRANSCRIPT
        joined = b""
        while progress.next_phase != "done":
            request = _request(consortium, progress, joined, agreed)
            done, reply = _asked(consortium, custodian, progress, request)
            yield done
            if isinstance(done.message, Refusal):
                return
            joined = reply if progress.next_phase == "join" else joined
            agreed = done.message.transcript_hash if isinstance(done.message, KeysReply) else agreed
            progress = advance(consortium.plan, site.dictionary, progress, _decided(consortium, progress))


def stand_in_sums(plan: Plan, dictionary: DataDictionary, role: Role) -> NDArray[np.int64]:
    """What takes the place of everybody's sums; shape (vector_length,), from public constants alone."""
    terms = plan.phases.of(role)
    if role is not Role.PREFLIGHT:
        return np.zeros(terms.vector_length, dtype=np.int64)
    records = {
        kind: sum(plan.training_records(member.id) for member in plan.roster.members if member.kind == kind)
        for kind in dictionary.kinds
    }
    parts = []
    for index, feature in enumerate(dictionary.features):
        owned = sum(records[kind] for kind in dictionary.kinds if index in dictionary.owned(kind))
        cells = 2 * feature.n_cells
        parts.append(np.full(cells, round(owned * terms.scale / cells), dtype=np.int64))
    return np.concatenate(parts)


def _asked(consortium: MadeUp, custodian: Custodian, progress: Progress, request: Message) -> tuple[Rehearsed, bytes]:
    sealed = consortium.coordinator.seal(consortium.plan.coordinator, request)
    began = time.perf_counter()
    reply = custodian.handle(sealed)
    seconds = time.perf_counter() - began
    envelope = open_envelope(reply)
    message = envelope.verify(consortium.site.key.public)
    round_ = progress.next_round if progress.next_phase in CHARGED else 0
    return Rehearsed(progress.next_phase, round_, envelope, message, len(reply), seconds), reply


def _request(consortium: MadeUp, progress: Progress, joined: bytes, agreed: bytes) -> Message:
    plan = consortium.plan
    plan_hash, model = plan.digest(), request_model(plan, progress)
    match progress.next_phase:
        case "join":
            return JoinRequest(plan.to_bytes())
        case "keys":
            return KeysRequest(plan_hash, consortium.joins(joined))
        case "release":
            return ReleaseRequest(plan_hash, model)
        case phase:
            witnesses = consortium.witnesses(agreed) if progress.new_keys is not None else ()
            role = Role[phase.upper()]
            return RoundRequest(plan_hash, role, progress.next_round, 1, plan.members, model, agreed, witnesses)


def _decided(consortium: MadeUp, progress: Progress) -> Decided:
    phase, members = progress.next_phase, consortium.plan.members
    decided = Decided(phase, progress.next_round, progress.attempt, Outcome.DONE, members)
    if phase not in CHARGED:
        return decided
    sums = stand_in_sums(consortium.plan, consortium.site.dictionary, Role[phase.upper()])
    return Decided(phase, progress.next_round, progress.attempt, Outcome.DONE, members, sums=sums)


def _noise_law(site: Site, account: Account) -> NoiseLaw:
    """As it is served: none only over data declared public or synthetic, on a ledger that promises nothing."""
    unprotected = isinstance(site.policy, NotPrivate) and account.accountant.mode == "not_private"
    return no_noise if unprotected else rounded_gaussian_noise


def _budget(site: Site, account: Account) -> Fraction:
    """The most that the ledger may ever hold, as its custodian reckons it."""
    budget = account.accountant.budget
    if not isinstance(site.policy, Policy):
        return budget
    return min(budget, account.accountant.target(site.policy.epsilon, site.policy.delta))
