"""All custodians of a simulated federation at once: their kernels, guards, noise and charges, and no envelope.

A custodian handles one request of one institution; of thousands, most of the time would go into signatures and
transactions that nobody in one process needs. Here the same guards look at each request once for each type and past,
the same kernel computes the exact sums of all institutions, and the same sampler draws their noise.

What differs from a loop of custodians is where the noise's bits come from: one key for the cohort, one stream for each
few institutions of a message, and not a key for each institution. Every institution still gets independent draws of the
rounded Gaussian of its own variance, so the law is the same, and so is every byte where there is no noise. Nothing is
masked: a cohort's coordinator is handed sums, and the run says that masks are off.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.contribute import exact_sums, rehearse
from fedcredit.custodian.guard import guard_plan, guard_round
from fedcredit.custodian.history import guard_history
from fedcredit.custodian.noise import message_context, rounded_gaussian_noise
from fedcredit.custodian.site import Site
from fedcredit.errors import ConfigError, RefusalError
from fedcredit.job.admission import largest_plausible
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Placement
from fedcredit.planning import accountant_for
from fedcredit.privacy.bits import BitSource, OsBitSource, noise_context
from fedcredit.privacy.shares import own_noise_variance
from fedcredit.privacy.statement import PrivacyStatement, mechanism, statement
from fedcredit.wire.canonical import digest
from fedcredit.wire.messages import Role, RoundRequest
from simulations.central_noise import first_owned
from simulations.cohort_books import Book, Books
from simulations.cohort_rows import OfKind, blocks, of_institutions, of_kind
from simulations.federation import Federation, JobSpec, site_of
from simulations.seeded_bits import SeededBitSource

Indices = NDArray[np.int64]
_COHORT = "cohort"
# Draws of one stream: what a processor's cache holds.
_DRAWS = 2**14


@dataclass(frozen=True, slots=True)
class Replies:
    """What a cohort answers.

    Attributes
    ----------
    total
        Sum of the answered vectors; shape (vector_length,), or (0,) where none were asked for.
    answered
        Indices of those who answered.
    refused
        Code and sentence by index.
    """

    total: NDArray[np.int64]
    answered: Indices
    refused: Mapping[int, tuple[str, str]]


class Cohort:
    """The institutions of a federation.

    Parameters
    ----------
    federation
        Keys, roster, rows and plan.
    spec
        Where noise comes from, and what computes the sums.
    poisoners
        Shape (m,): whose vectors of training are multiplied by `poison_factor` before they are sent.

    Attributes
    ----------
    rows
        Shape (m,): training records of each institution.

    Raises
    ------
    ConfigError
        If the plan's sums are not of all records at once, or its vectors are masked.
    """

    def __init__(
        self, federation: Federation, spec: JobSpec, poisoners: NDArray[np.bool_], poison_factor: int = -1
    ) -> None:
        plan = federation.plan
        if plan.phases.train.sampling_rate < 1 or plan.phases.train.local_steps > 1:
            raise ConfigError(
                f"runtime=cohort is for models that take all records at once in one step; model {plan.model.family!r} "
                "samples or takes local steps: use runtime=in_process."
            )
        if plan.privacy.masks:
            raise ConfigError("runtime=cohort has no masks; set masks=off, or use runtime=in_process.")
        self._federation, self._plan, self._spec = federation, plan, spec
        self._poisoners, self._poison_factor = poisoners, poison_factor
        institutions = federation.institutions
        first = {one.kind: one for one in reversed(institutions)}
        kinds = dict.fromkeys(one.kind for one in institutions)
        self._kinds = tuple(
            of_kind(federation.dictionary, site_of(federation, first[kind], spec), institutions) for kind in kinds
        )
        self._accountant = accountant_for(plan.privacy, plan.phases.train.sampling_rate)
        self._costs = {
            role: {one.site.kind: self._accountant.cost(mechanism(plan, one.site.kind, role)) for one in self._kinds}
            for role in Role
        }
        self._limits = {
            role: np.array([largest_plausible(plan, member, role) for member in plan.roster.members]) for role in Role
        }
        self._books = Books(len(institutions))
        self._last_roster: tuple[tuple[str, ...], bytes] = ((), b"")
        self._bits: BitSource = OsBitSource() if spec.noise_seed is None else SeededBitSource(spec.noise_seed, _COHORT)
        self.rows = np.array([one.data.train.n_rows for one in institutions])

    def join(self, asked: Indices) -> Replies:
        """Let the guard of each type check the plan, and set its whole cost aside at every institution."""
        refused: dict[int, tuple[str, str]] = {}
        for one in self._kinds:
            members = np.intersect1d(asked, one.members, assume_unique=True)
            try:
                cost = guard_plan(one.site, self._plan, self._accountant)
            except RefusalError as error:
                refused |= {int(index): (error.code, f"{error.code}: {error}") for index in members}
                continue
            if cost > self._accountant.budget:
                refused |= {int(index): ("budget", "budget: the ledger cannot pay for this job.") for index in members}
                continue
            reserve = cost * self._plan.privacy.reserve_percent / 100
            self._books.give(members, Book(one.site.kind, cost, reserve))
        return Replies(np.zeros(0, dtype=np.int64), _without(asked, refused), refused)

    def contribute(self, request: RoundRequest, asked: Indices) -> Replies:
        """Guard, charge, add up and noise one message of every institution that was asked.

        Raises
        ------
        FedcreditError
            As `fedcredit.custodian.contribute.rehearse`.
        """
        event = {
            "role": request.role.name.lower(),
            "round": request.round,
            "attempt": request.attempt,
            "model_hash": digest("model", request.model).hex(),
            "members": request.members,
        }
        refused = self._guarded(request, asked)
        paying = _without(asked, refused)
        unable = self._books.charge(paying, event, self._costs[request.role])
        refused |= {int(index): ("budget", "budget: the job's reservation is used up.") for index in unable}
        total = np.zeros(self._plan.phases.of(request.role).vector_length, dtype=np.int64)
        sending = _without(paying, refused)
        for one in self._kinds:
            rehearse(one.site, self._plan, request.role, request.model)
            foreign = self._add_vectors(one, request, sending, total)
            refused |= {int(index): ("foreign", "answered with something that was not asked for") for index in foreign}
        return Replies(total, _without(sending, refused), refused)

    def statements(self) -> dict[str, PrivacyStatement]:
        """What the job cost each institution."""
        names = self._plan.members
        everybody = np.arange(len(names))
        found: dict[str, PrivacyStatement] = {}
        for book, members in self._books.by_book(everybody):
            own = statement(self._plan, book.kind, self._accountant, book.reserved, book.spent)
            found |= {names[index]: own for index in members}
        missing = [index for index in everybody if names[index] not in found]
        for index in missing:
            kind = self._plan.roster.members[index].kind
            found[names[index]] = statement(self._plan, kind, self._accountant, Fraction(0), Fraction(0))
        return {name: found[name] for name in names}

    def book(self, institution: int) -> Book | None:
        """What an institution's ledger holds; None if it never joined."""
        return self._books.of(institution)

    def _guarded(self, request: RoundRequest, asked: Indices) -> dict[int, tuple[str, str]]:
        """Refusals, by one look at the request for each type and past."""
        refused: dict[int, tuple[str, str]] = {}
        sites = {one.site.kind: one.site for one in self._kinds}
        for book, members in self._books.by_book(asked):
            try:
                guard_round(self._plan, self._as_member(sites[book.kind], int(members[0])), request)
                guard_history(self._plan, request, book.charges, reserve_used_up=book.refused_a_retry)
            except RefusalError as error:
                refused |= {int(index): (error.code, f"{error.code}: {error}") for index in members}
        return refused

    def _add_vectors(self, one: OfKind, request: RoundRequest, sending: Indices, total: NDArray[np.int64]) -> Indices:
        """Add the vectors of one type to the total; who sent what its public size and noise cannot give."""
        plan, role = self._plan, request.role
        rows = one.evaluate if role is Role.EVALUATE else one.train
        is_sending = np.zeros(len(plan.roster.members), dtype=np.bool_)
        is_sending[sending] = True
        noise = _Noise(self._federation, one, request, self._bits, self._roster_hash(request.members))
        foreign = [np.zeros(0, dtype=np.int64)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for part in blocks(len(one.members), total.size):
                exact = exact_sums(
                    plan, one.site.dictionary, one.site.kind, self._spec.kernel, (role, request.model),
                    of_institutions(rows, part),
                )  # fmt: skip
                present = is_sending[one.members[part]]
                members, exact = one.members[part][present], exact[present]
                step = max(1, _DRAWS // total.size)
                few = [slice(start, start + step) for start in range(0, len(members), step)]

                def sent(own: slice, members: Indices = members, exact: NDArray[np.int64] = exact) -> Replies:
                    return self._sent(role, members[own], exact[own], noise)

                for replies in threads.map(sent, few):
                    total += replies.total
                    foreign.append(np.array(list(replies.refused), dtype=np.int64))
        return np.concatenate(foreign)

    def _sent(self, role: Role, members: Indices, exact: NDArray[np.int64], noise: "_Noise") -> Replies:
        """What arrives of exact sums, and which of them the coordinator takes."""
        if noise.of_server:  # nobody can turn round what a trusted server adds
            vectors = noise.added(members, self._poisoned(role, members, exact))
        else:
            vectors = self._poisoned(role, members, noise.added(members, exact))
        plausible = np.abs(vectors).max(axis=1) <= self._limits[role][members]
        refused = {int(index): ("foreign", "") for index in members[~plausible]}
        return Replies(vectors[plausible].sum(axis=0), members[plausible], refused)

    def _poisoned(self, role: Role, members: Indices, vectors: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same array, in which poisoners have multiplied theirs."""
        if role is Role.TRAIN and (poisoned := self._poisoners[members]).any():
            vectors[poisoned] *= self._poison_factor
        return vectors

    def _roster_hash(self, members: tuple[str, ...]) -> bytes:
        """Hash of an attempt's members; of a thousand it takes as long as their sums, and they seldom change."""
        if self._last_roster[0] != members:
            self._last_roster = members, self._plan.roster.attempt_digest(members)
        return self._last_roster[1]

    def _as_member(self, site: Site, institution: int) -> Site:
        """A type's site, as that of another institution of the type."""
        return replace(site, institution=self._plan.roster.members[institution].id)


class _Noise:
    """The noise of one message of all institutions of one type."""

    def __init__(
        self, federation: Federation, one: OfKind, request: RoundRequest, bits: BitSource, roster_hash: bytes
    ) -> None:
        plan, self._bits, self._role = federation.plan, bits, request.role
        self._placement = plan.privacy.placement
        message = message_context(plan.job, request, roster_hash, digest("model", request.model))
        self._context = noise_context(b"cohort", one.site.kind.encode(), message)
        self._variance = own_noise_variance(plan, one.site.kind, request.role, len(request.members))
        self.of_server = self._placement is Placement.CENTRAL
        self._noisy = owned_coordinates(plan, federation.dictionary, request.role, one.site.kind)
        if self.of_server:  # whoever of the type is first in this attempt: the first of the roster may have left
            present, names = frozenset(request.members), plan.members
            self._first = next((int(index) for index in one.members if names[index] in present), -1)
            owner = names[self._first]
            self._noisy = first_owned(plan, federation.dictionary, request.role, owner, present)

    def added(self, members: Indices, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        """Exact sums and an independent noise of each institution; shape (len(members), vector_length)."""
        if self._placement is Placement.NONE:
            return exact
        if self._placement is Placement.CENTRAL:  # one noise for everybody, which the first owner adds
            exact[members == self._first] += np.where(self._noisy, self._draws(1, members, exact), 0)
            return exact
        draws = self._draws(len(members), members, exact)
        if self._placement is Placement.LOCAL:
            draws[:, ~self._noisy] = 0
        draws += exact
        return draws

    def _draws(self, n: int, members: Indices, exact: NDArray[np.int64]) -> NDArray[np.int64]:
        context = noise_context(self._context, int(members[0]).to_bytes(8, "big"))
        size = n * exact.shape[1]
        return rounded_gaussian_noise(self._role, self._variance, size, self._bits, context).reshape(n, -1)


def _without(institutions: Indices, refused: Mapping[int, tuple[str, str]]) -> Indices:
    if not refused:
        return institutions
    return institutions[~np.isin(institutions, np.array(list(refused), dtype=np.int64))]
