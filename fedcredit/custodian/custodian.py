"""The custodian: bytes in, bytes out, in one visible order.

``guard → rehearse → contribute → noise → mask → sign → commit (event and exact bytes, one fsynced transaction) → send``

Between commit and send stands the audit trail (`fedcredit.audit.trail`): nothing leaves that is not in it.

Where a plan gives an institution several steps of its own, ``contribute → noise`` is gone through once a step.

The same message asked for again is answered with the stored bytes and is not charged. A higher attempt is a new
message with new noise, charged from the plan's reserve. A restart draws a new noise key and a new agreement key, whose
epoch rises, and refunds nothing.

A request that passed guard and rehearsal and then fails on the rows, or on a step that was taken on their noised sums,
has met a fault of the software, and that it failed is one bit about the rows that nobody has paid for. So it fails
once: the custodian answers nothing more until its operator has looked.
"""

import logging
import threading
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit.audit.trail import NoTrail, Recorder, Trail
from fedcredit.custodian.agreements import Agreements
from fedcredit.custodian.contribute import contribute, rehearse
from fedcredit.custodian.local_steps import take_steps
from fedcredit.custodian.noise import (
    NoiseLaw,
    message_context,
    rounded_gaussian_noise,
    sampling_context,
    vector_context,
)
from fedcredit.custodian.open_jobs import OpenJobs, guard_sender
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import validate_rows
from fedcredit.errors import BudgetError, LedgerError, PrivacyError, RefusalError, WireError
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement, Plan, parse_plan, plan_digest
from fedcredit.printable import printable
from fedcredit.privacy.bits import BitSource, OsBitSource
from fedcredit.privacy.events import Charge, Slot
from fedcredit.privacy.job_statement import job_statement
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.privacy.statement import mechanism
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets
from fedcredit.wire.canonical import digest
from fedcredit.wire.envelope import Envelope, envelope_hash, open_envelope
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
    IdentifyRequest,
    JoinRequest,
    KeysRequest,
    Message,
    Receipt,
    Refusal,
    ReleaseRequest,
    Role,
    RoundRequest,
    StopReply,
    StopRequest,
)

_LOG = logging.getLogger(__name__)
# A refusal quotes the request at most this far.
_LONGEST_REFUSAL = 500


class Custodian:
    """One institution's custodian.

    Parameters
    ----------
    site
        Identity, data, pinned peers and policy.
    ledger
        Its privacy ledger, open.
    new_noise_key
        Draws one job's noise key; the operating system's by default.
    noise_law
        Turns bits into noise; only a custodian of public or synthetic data may have another than the default.

    Raises
    ------
    PrivacyError
        If a custodian with a policy is given a noise key, a noise law or a ledger that its policy cannot vouch for, or
        if there is neither a policy nor the statement that none is needed.
    DataError
        If the rows are not those of the dictionary and the institution's type.
    """

    def __init__(
        self,
        site: Site,
        ledger: Ledger,
        *,
        new_noise_key: Callable[[], BitSource] = OsBitSource,
        noise_law: NoiseLaw = rounded_gaussian_noise,
    ) -> None:
        for rows in (site.data.train, site.data.evaluate):
            validate_rows(rows, site.dictionary, site.kind)
        self._site = site
        self._ledger = ledger
        self._jobs = OpenJobs(site, ledger, _budget(site, ledger, new_noise_key, noise_law))
        self._agreements = Agreements(site, ledger, new_noise_key)
        self._noise_law = noise_law
        self._turn = threading.Lock()
        self._stopped = False
        self._trail = _trail(site, ledger)

    @property
    def institution(self) -> str:
        """The institution's id."""
        return self._site.institution

    @property
    def ledger(self) -> Ledger:
        """The institution's ledger; for its own console."""
        return self._ledger

    def handle(self, request: bytes) -> bytes:
        """Answer one signed envelope with one signed envelope.

        Whatever is wrong comes back as a refusal with a code and a fixed sentence; no exception leaves, and nothing
        in a refusal depends on a record.
        """
        with self._turn:
            try:
                self._trail.require_writable()
                reply, code = self._decided(request)
                self._trail.record(request, reply, code, self._proved)
            except RefusalError as error:
                reply = self._refuse(request, error.code, str(error))
            return reply

    def stopped(self) -> None:
        """Write down that this custodian ends; for its operator."""
        with self._turn:
            self._trail.stopped()

    def _decided(self, request: bytes) -> tuple[bytes, str | None]:
        """The reply, and the code if it is a refusal."""
        try:
            return self._answer(request), None
        except RefusalError as error:
            return self._refuse(request, error.code, str(error)), error.code
        except WireError as error:
            return self._refuse(request, "wire", str(error)), "wire"
        except BudgetError as error:
            return self._refuse(request, "budget", str(error)), "budget"
        except LedgerError as error:
            return self._refuse(request, "ledger", str(error)), "ledger"
        except Exception:  # noqa: BLE001  (the boundary: nothing may leave but a code)
            # The institution's own log gets the traceback; the wire gets a word.
            _LOG.exception("request failed at %s", self._site.institution)
            text = "the custodian failed; its operator finds the cause in its log."
            return self._refuse(request, "internal", text), "internal"

    def _proved(self, request: bytes) -> bool:
        """Whether the request is signed by whom it names."""
        try:
            self._authenticated(request)
        except (RefusalError, WireError):
            return False
        return True

    def _answer(self, request: bytes) -> bytes:
        if self._stopped:
            raise RefusalError("stopped", "the custodian stopped at a fault; its operator finds the cause in its log.")
        sender, message = self._authenticated(request)
        match message:
            case IdentifyRequest():
                return self._seal(IdentifyReply(message.nonce))
            case JoinRequest():
                return self._join(sender, message)
            case KeysRequest():
                return self._keys(sender, message)
            case StopRequest():
                return self._stop(sender, message)
            case RoundRequest():
                return self._round(sender, message, envelope_hash(request))
            case ReleaseRequest():
                return self._release(sender, message, envelope_hash(request))
            case _:
                raise RefusalError("kind", f"{type(message).__name__} is not a request.")

    def _authenticated(self, request: bytes) -> tuple[str, Message]:
        envelope = open_envelope(request)
        return envelope.sender, envelope.verify(self._key_of(envelope))

    def _key_of(self, envelope: Envelope) -> bytes:
        """The pinned key of whoever may send a message of this kind."""
        if envelope.kind == StopRequest.kind:
            member = self._site.roster.member(envelope.sender)
            if member is None:
                raise RefusalError("member", f"{envelope.sender!r} is no member of this site's roster.")
            return bytes.fromhex(member.public_key)
        public_key = self._site.coordinators.get(envelope.sender)
        if public_key is None:
            raise RefusalError("coordinator", f"coordinator {envelope.sender!r} is not on this site's list.")
        return public_key

    def _join(self, sender: str, request: JoinRequest) -> bytes:
        plan = self._jobs.join(request.plan, sender)
        return self._agreements.of(plan_digest(request.plan), plan).join

    def _keys(self, sender: str, request: KeysRequest) -> bytes:
        plan = self._jobs.plan(request.plan_hash, sender)
        return self._seal(self._agreements.accept(plan, request))

    def _stop(self, sender: str, request: StopRequest) -> bytes:
        event_count = self._jobs.stop(request.roster_hash, sender)
        _LOG.warning("%s stopped every job under this site's roster", sender)
        return self._seal(StopReply(request.roster_hash, event_count))

    def _round(self, sender: str, request: RoundRequest, request_hash: bytes) -> bytes:
        slot = Slot(request.plan_hash, request.role, request.round, request.attempt)
        stored = self._ledger.stored(slot)
        if stored is not None:
            if stored.request_hash != request_hash:
                raise RefusalError("replay", "this attempt was answered for another request; raise the attempt.")
            return stored.message
        plan = self._jobs.plan(request.plan_hash, sender)
        self._jobs.guard_request(plan, request)
        pairs = self._agreements.pairs(plan, request) if plan.privacy.masks else None
        rehearse(self._site, plan, request.role, request.model)
        return self._contribute(plan, slot, request, request_hash, pairs)

    def _contribute(
        self, plan: Plan, slot: Slot, request: RoundRequest, request_hash: bytes, pairs: PairSecrets | None
    ) -> bytes:
        site, terms = self._site, plan.phases.of(request.role)
        secrets = self._agreements.of(request.plan_hash, plan)
        key = secrets.noise
        roster_hash = plan.roster.attempt_digest(request.members)
        model_hash = digest("model", request.model)
        context = message_context(plan.job, request, roster_hash, model_hash)
        variance = own_noise_variance(plan, site.kind, request.role, len(request.members))

        def noised_sums(model: bytes, context: bytes) -> NDArray[np.int64]:
            exact = contribute(site, plan, request.role, model, key, sampling_context(context))
            noise = self._noise_law(request.role, variance, terms.vector_length, key, vector_context(context, exact))
            return self._where_noisy(plan, request.role, np.add(exact, noise))

        # A copy until the ledger has paid: the next message is made of it, too.
        controls = dict(secrets.controls)
        try:
            noised = take_steps(site, plan, request, context, noised_sums, controls)
        except Exception:
            # With public data nothing is promised, and a researcher can go on.
            self._stopped = not isinstance(site.policy, NotPrivate)
            raise
        masked = noised if pairs is None else _masked(plan, request, roster_hash, model_hash, pairs, noised)
        vector = masked.astype("<i8").tobytes()
        charge = Charge(
            slot=slot,
            mechanism=mechanism(plan, site.kind, request.role),
            request_hash=request_hash,
            roster_hash=roster_hash,
            model_hash=model_hash,
            vector_hash=digest("vector", vector),
            members=request.members,
            colluders=plan.privacy.colluders,
            own_noise_variance=variance,
            heads=self._agreements.shown(plan, request),
        )

        def seal(event_count: int, event_hash: bytes) -> bytes:
            place = (slot.plan_hash, slot.role, slot.round, slot.attempt)
            masked = pairs is not None
            head_signature = sign_head(site.key, site.institution, event_count, event_hash, witnessed=masked)
            hashes = (roster_hash, model_hash)
            return self._seal(Contribution(*place, *hashes, vector, event_count, event_hash, head_signature))

        try:
            message = self._ledger.commit(charge, seal)
        except BudgetError:
            self._jobs.reserve_is_used_up(request.plan_hash)
            raise
        secrets.controls = controls
        return message

    def _where_noisy(self, plan: Plan, role: Role, noised: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact zeros where this institution's type owns nothing, unless it adds a share of everybody's noise there."""
        if plan.privacy.placement is Placement.DISTRIBUTED:
            return noised
        return np.where(owned_coordinates(plan, self._site.dictionary, role, self._site.kind), noised, 0)

    def _release(self, sender: str, request: ReleaseRequest, request_hash: bytes) -> bytes:
        stored = self._ledger.receipt(request.plan_hash)
        if stored is not None:
            if stored.request_hash != request_hash:
                raise RefusalError("replay", "this job is over; its receipt names another model.")
            return stored.message
        # Not guarded again: a job that a new policy or new data would refuse must still be closed, to free its reserve.
        job = self._jobs.job(request.plan_hash)
        plan = parse_plan(job.plan)
        guard_sender(plan, sender)
        own_statement = job_statement(
            plan,
            self._site.institution,
            self._ledger.account.accountant,
            job,
            self._ledger.charges(request.plan_hash),
        )
        model_hash = digest("model", request.model)

        def seal(event_count: int, _event_hash: bytes) -> bytes:
            return self._seal(Receipt(request.plan_hash, model_hash, own_statement, event_count))

        receipt = self._ledger.finish(request.plan_hash, request_hash, seal)
        self._jobs.close(request.plan_hash)
        self._agreements.forget(request.plan_hash)
        return receipt

    def _seal(self, message: Message) -> bytes:
        return self._site.key.seal(self._site.institution, message)

    def _refuse(self, request: bytes, code: str, text: str) -> bytes:
        # It may quote what a coordinator wrote, which shall not look like a line of its own.
        said = printable(text[:_LONGEST_REFUSAL])
        _LOG.warning("%s refused a request (%s): %s", self._site.institution, code, said)
        return self._seal(Refusal(envelope_hash(request), code, text[:_LONGEST_REFUSAL]))


def _trail(site: Site, ledger: Ledger) -> Recorder:
    """A site that was built from its files always has one."""
    if site.audit_trail is None:
        return NoTrail()
    return Trail.start(site.audit_trail, site.key, ledger, site.data.fingerprint, site.now)


def _masked(
    plan: Plan,
    request: RoundRequest,
    roster_hash: bytes,
    model_hash: bytes,
    pairs: PairSecrets,
    noised: NDArray[np.int64],
) -> NDArray[np.int64]:
    place = MaskPlace(
        plan.job, request.plan_hash, request.role, request.round, request.attempt, roster_hash, model_hash
    )
    return pairs.mask(place, request.members, noised.size).apply(noised)


def _budget(site: Site, ledger: Ledger, new_noise_key: Callable[[], BitSource], noise_law: NoiseLaw) -> Fraction:
    """The most that the ledger may ever hold: its own budget, or the policy's if that is smaller by now."""
    account, policy = ledger.account, site.policy
    if isinstance(policy, NotPrivate):
        return account.accountant.budget
    if not isinstance(policy, Policy):
        raise PrivacyError("a custodian has neither a policy nor a statement that its data are public; give it one.")
    if new_noise_key is not OsBitSource or noise_law is not rounded_gaussian_noise:
        raise PrivacyError("a custodian with a policy draws its noise from the operating system and nothing else.")
    if account.accountant.mode == "not_private":
        raise PrivacyError("a custodian with a policy needs a private ledger; open one with 'fedcredit ledger open'.")
    if account.unit != policy.unit.value:
        raise PrivacyError(
            f"the ledger counts in {account.unit}s and the policy in {policy.unit.value}s; mend the policy."
        )
    return min(account.accountant.budget, account.accountant.target(policy.epsilon, policy.delta))
