"""The custodian: bytes in, bytes out, in one visible order.

``guard → rehearse → contribute → noise → sign → commit (event and exact bytes in one fsynced transaction) → send``

(Masks of secure aggregation go between noise and sign.) The same message asked for again is answered with the
stored bytes and is not charged. A higher attempt is a new message with new noise, charged from the plan's reserve.
A restart draws new noise keys and refunds nothing.

A request that passed guard and rehearsal and then fails on the rows has met a fault of the software, and that it
failed is one bit about the rows. So it fails once: the custodian answers nothing more until its operator has looked.
"""

import logging
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.contribute import contribute, rehearse
from fedcredit.custodian.guard import guard_plan, guard_round
from fedcredit.custodian.noise import (
    NoiseLaw,
    message_context,
    rounded_gaussian_noise,
    sampling_context,
    vector_context,
)
from fedcredit.custodian.policy import Policy
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import validate_rows
from fedcredit.errors import BudgetError, ConfigError, LedgerError, PrivacyError, RefusalError, WireError
from fedcredit.plan import Placement, Plan, parse_plan, plan_digest
from fedcredit.privacy.bits import BitSource, OsBitSource
from fedcredit.privacy.events import Charge, Slot
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Job
from fedcredit.privacy.statement import mechanism, statement
from fedcredit.wire.canonical import canonical_json, digest
from fedcredit.wire.envelope import envelope_hash, open_envelope
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    Message,
    Receipt,
    Refusal,
    ReleaseRequest,
    RoundRequest,
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
        self._budget = _budget(site, ledger, new_noise_key, noise_law)
        self._new_noise_key = new_noise_key
        self._noise_law = noise_law
        self._noise_keys: dict[bytes, BitSource] = {}
        self._plans: dict[bytes, Plan] = {}
        self._turn = threading.Lock()
        self._stopped = False

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
                return self._answer(request)
            except RefusalError as error:
                return self._refuse(request, error.code, str(error))
            except WireError as error:
                return self._refuse(request, "wire", str(error))
            except BudgetError as error:
                return self._refuse(request, "budget", str(error))
            except LedgerError as error:
                return self._refuse(request, "ledger", str(error))
            except Exception:  # noqa: BLE001  (the boundary: nothing may leave but a code)
                # The institution's own log gets the traceback; the wire gets a word.
                _LOG.exception("request failed at %s", self._site.institution)
                return self._refuse(
                    request, "internal", "the custodian failed; its operator finds the cause in its log."
                )

    def _answer(self, request: bytes) -> bytes:
        if self._stopped:
            raise RefusalError("stopped", "the custodian stopped at a fault; its operator finds the cause in its log.")
        sender, message = self._authenticated(request)
        match message:
            case IdentifyRequest():
                return self._seal(IdentifyReply(message.nonce))
            case JoinRequest():
                return self._join(sender, message)
            case RoundRequest():
                return self._round(sender, message, envelope_hash(request))
            case ReleaseRequest():
                return self._release(sender, message, envelope_hash(request))
            case _:
                raise RefusalError("kind", f"{type(message).__name__} is not a request.")

    def _authenticated(self, request: bytes) -> tuple[str, Message]:
        envelope = open_envelope(request)
        public_key = self._site.coordinators.get(envelope.sender)
        if public_key is None:
            raise RefusalError("coordinator", f"coordinator {envelope.sender!r} is not on this site's list.")
        return envelope.sender, envelope.verify(public_key)

    def _join(self, sender: str, request: JoinRequest) -> bytes:
        plan_hash = plan_digest(request.plan)
        plan, cost = self._guarded(request.plan, sender)
        self._ledger.reserve(
            plan_hash,
            request.plan,
            cost,
            cost * plan.privacy.reserve_percent / 100,
            self._terms(plan, cost),
            budget=self._budget,
        )
        self._guard_same_data(self._open_job(plan_hash))
        self._plans[plan_hash] = plan
        self._noise_key(plan_hash)
        return self._seal(JoinReply(plan_hash, self._ledger.event_count))

    def _round(self, sender: str, request: RoundRequest, request_hash: bytes) -> bytes:
        slot = Slot(request.plan_hash, request.role, request.round, request.attempt)
        stored = self._ledger.stored(slot)
        if stored is not None:
            if stored.request_hash != request_hash:
                raise RefusalError("replay", "this attempt was answered for another request; raise the attempt.")
            return stored.message
        plan = self._open_plan(request.plan_hash, sender)
        guard_round(plan, self._site, request)
        self._guard_same_model(request)
        rehearse(self._site, plan, request.role, request.model)
        return self._contribute(plan, slot, request, request_hash)

    def _contribute(self, plan: Plan, slot: Slot, request: RoundRequest, request_hash: bytes) -> bytes:
        site, terms = self._site, plan.phases.of(request.role)
        key = self._noise_key(request.plan_hash)
        roster_hash = plan.roster.attempt_digest(request.members)
        model_hash = digest("model", request.model)
        context = message_context(plan.job, request, roster_hash, model_hash)
        exact = self._exact(plan, request, key, sampling_context(context))
        noise = self._noise_law(
            request.role, terms.noise_variance[site.kind], terms.vector_length, key, vector_context(context, exact)
        )
        vector = np.add(exact, noise).astype("<i8").tobytes()
        charge = Charge(
            slot=slot,
            mechanism=mechanism(plan, site.kind, request.role),
            request_hash=request_hash,
            roster_hash=roster_hash,
            model_hash=model_hash,
            vector_hash=digest("vector", vector),
            members=len(request.members),
            colluders=plan.privacy.colluders,
        )

        def seal(event_count: int, event_hash: bytes) -> bytes:
            place = (slot.plan_hash, slot.role, slot.round, slot.attempt)
            return self._seal(Contribution(*place, roster_hash, model_hash, vector, event_count, event_hash))

        return self._ledger.commit(charge, seal)

    def _exact(self, plan: Plan, request: RoundRequest, key: BitSource, context: bytes) -> NDArray[np.int64]:
        try:
            return contribute(self._site, plan, request.role, request.model, key, context)
        except Exception:
            # With public data nothing is promised, and a researcher can go on.
            self._stopped = not isinstance(self._site.policy, NotPrivate)
            raise

    def _release(self, sender: str, request: ReleaseRequest, request_hash: bytes) -> bytes:
        stored = self._ledger.receipt(request.plan_hash)
        if stored is not None:
            if stored.request_hash != request_hash:
                raise RefusalError("replay", "this job is over; its receipt names another model.")
            return stored.message
        # Not guarded again: a job that a new policy or new data would refuse must still be closed, to free its reserve.
        job = self._open_job(request.plan_hash)
        plan = parse_plan(job.plan)
        _guard_sender(plan, sender)
        numbers = statement(plan, self._ledger.account.accountant, job.reserved, job.spent)
        own_statement = canonical_json(
            {
                "institution": self._site.institution,
                "job": plan.job,
                "placement": plan.privacy.placement.value,
                "adjacency": "zero_out",
                "messages": len(self._ledger.charges(request.plan_hash)),
                **numbers.to_json(),
            }
        )
        model_hash = digest("model", request.model)

        def seal(event_count: int, _event_hash: bytes) -> bytes:
            return self._seal(Receipt(request.plan_hash, model_hash, own_statement, event_count))

        receipt = self._ledger.finish(request.plan_hash, request_hash, seal)
        self._forget(request.plan_hash)
        return receipt

    def _guarded(self, data: bytes, sender: str) -> tuple[Plan, Fraction]:
        """The plan and its cost, if policy, roster, dictionary and ledger allow it now."""
        try:
            plan = parse_plan(data)
        except ConfigError as error:
            raise RefusalError("plan", str(error)) from error
        _guard_sender(plan, sender)
        cost = guard_plan(self._site, plan, self._ledger.account.accountant)
        self._guard_ledger(plan)
        return plan, cost

    def _guard_ledger(self, plan: Plan) -> None:
        account = self._ledger.account
        if account.unit != plan.privacy.unit.value:
            raise RefusalError(
                "unit",
                f"this site's ledger counts in {account.unit}s, the plan in {plan.privacy.unit.value}s.",
            )
        if (account.accountant.mode == "not_private") != (plan.privacy.placement is Placement.NONE):
            raise RefusalError("ledger", "a job without privacy and a job with privacy need ledgers of their own.")

    def _guard_same_model(self, request: RoundRequest) -> None:
        charged = [
            event
            for event in self._ledger.charges(request.plan_hash)
            if (event["role"], event["round"]) == (request.role.name.lower(), request.round)
        ]
        if {event["model_hash"] for event in charged} - {digest("model", request.model).hex()}:
            raise RefusalError("model", "an earlier attempt of this round used another model; send that one.")
        if any(event["attempt"] >= request.attempt for event in charged):
            raise RefusalError("attempt", "a higher attempt of this round was answered already; raise the attempt.")

    def _guard_same_data(self, job: Job) -> None:
        if job.terms["fingerprint"] != self._site.data.fingerprint.hex():
            raise RefusalError("data", "this site's data changed since it joined the job; start a new job.")

    def _open_job(self, plan_hash: bytes) -> Job:
        job = self._ledger.job(plan_hash)
        if job is None or job.closed:
            raise RefusalError("job", "this job is not open here; join it first, or start a new one if it is over.")
        if plan_digest(job.plan) != plan_hash:
            raise LedgerError("the ledger holds another plan than it says; restore it from its newest backup.")
        return job

    def _open_plan(self, plan_hash: bytes, sender: str) -> Plan:
        job = self._open_job(plan_hash)
        self._guard_same_data(job)
        if plan_hash not in self._plans:
            # After a restart, which may have brought another policy, roster or dictionary.
            self._plans[plan_hash], _ = self._guarded(job.plan, sender)
        _guard_sender(self._plans[plan_hash], sender)
        return self._plans[plan_hash]

    def _noise_key(self, plan_hash: bytes) -> BitSource:
        if plan_hash not in self._noise_keys:
            self._noise_keys[plan_hash] = self._new_noise_key()
        return self._noise_keys[plan_hash]

    def _forget(self, plan_hash: bytes) -> None:
        self._plans.pop(plan_hash, None)
        key = self._noise_keys.pop(plan_hash, None)
        if key is not None:
            key.wipe()

    def _terms(self, plan: Plan, cost: Fraction) -> dict[str, Any]:
        numbers = statement(plan, self._ledger.account.accountant, cost, Fraction(0))
        return {
            "job": plan.job,
            "purpose": plan.purpose,
            "placement": plan.privacy.placement.value,
            "epsilon_planned": numbers.epsilon_planned,
            "delta": numbers.delta,
            "unit": numbers.unit,
            "fingerprint": self._site.data.fingerprint.hex(),
        }

    def _seal(self, message: Message) -> bytes:
        return self._site.key.seal(self._site.institution, message)

    def _refuse(self, request: bytes, code: str, text: str) -> bytes:
        return self._seal(Refusal(envelope_hash(request), code, text[:_LONGEST_REFUSAL]))


def _guard_sender(plan: Plan, sender: str) -> None:
    if plan.coordinator != sender:
        raise RefusalError("coordinator", f"this job is led by {plan.coordinator!r}; {sender!r} has no part in it.")


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
