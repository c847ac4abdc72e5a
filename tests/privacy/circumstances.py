"""Jobs that show what a change of the code changes: every byte that leaves, every ledger line, every line of the log.

``python -m tests.privacy.circumstances NAME`` prints them, one a line. The process's operating system hands out a fixed
row of random bytes, so that two runs of one tree print the same and a run of a changed tree differs by its change.
Nothing else is replaced: custodians with a policy and the real coordinator run the job.
"""

import contextlib
import hashlib
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedcredit.custodian.custodian import Custodian
from fedcredit.custodian.jurisdiction import Approval
from fedcredit.data.rows import single
from fedcredit.data.units import hash_units
from fedcredit.models.binned_kernel import NUMPY
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.wire.messages import JoinRequest, Role
from simulations.federation import custodian_of, found
from tests import linked_rows, step_traces, tiny
from tests import privacy_checks as checks
from tests.privacy import group_circumstances, question_circumstances, raw_site
from tests.privacy.transcripts import Lines, Transcript, after_join, joined_only, preflight, whole_job

PERSON = PrivacyTerms(
    placement=Placement.LOCAL, unit=PrivacyUnit.PERSON, max_records_per_person=3, epsilon=4.0, delta=1e-5, masks=True
)


def default() -> Lines:
    return whole_job(tiny.spec())


def distributed() -> Lines:
    return whole_job(tiny.spec(tiny.SHARED))


def drop() -> Lines:
    """Shared noise among four, of whom one is silent from the second phase on."""
    job = tiny.spec(tiny.SHARED)
    names = ("bank-1", "bank-2", "bank-3", "bank-4")
    members = tuple(tiny.institution(name, "bank", 200, n) for n, name in enumerate(names))
    return whole_job(
        job, found(tiny.dictionary(), members, job), silent=lambda name, n: name == "bank-4" and n > 3, quorum=3
    )


def retry() -> Lines:
    """One institution is asked for the preflight twice, and for an attempt of it more."""
    return after_join(lambda out, bank: [out.ask_message(bank, preflight(out, attempt)) for attempt in (1, 2)])


def resend() -> Lines:
    """One request twice."""
    return after_join(lambda out, bank: [out.ask_message(bank, preflight(out, 1)) for _ in range(2)])


def restart() -> Lines:
    """An institution restarts after its first message and is asked what its ledger still holds."""

    def steps(out: Transcript, bank: Custodian) -> None:
        out.ask_message(bank, preflight(out, 1))
        again = checks.restarted(bank)
        out.ask_message(again, JoinRequest(out.consortium.plan.to_bytes()))
        job = again.ledger.job(out.consortium.plan.digest())
        out.lines.append(f"ledger spent {None if job is None else job.spent}")

    return after_join(steps)


def person() -> Lines:
    return whole_job(tiny.spec(PERSON))


def sampled_persons() -> Lines:
    """Persons of three records each, sampled."""
    job = step_traces.job(PERSON, local_steps=1, rounds=1)
    base = tiny.federation(job)

    def dealt(rows):
        return single(rows.cells, rows.bad, np.arange(rows.n_rows) // 3)

    institutions = tuple(
        replace(one, data=replace(one.data, train=dealt(one.data.train), evaluate=dealt(one.data.evaluate)))
        for one in base.institutions
    )
    return whole_job(job, replace(base, institutions=institutions))


def local_steps() -> Lines:
    """Steps of each institution's own, one of which has fewer records than its public size says."""
    job = step_traces.job(rounds=1)
    consortium = tiny.federation(job)
    first, *others = consortium.institutions
    rows = first.data.train
    fewer = replace(first.data, train=single(rows.cells[:300], rows.bad[:300]))
    return whole_job(job, replace(consortium, institutions=(replace(first, data=fewer), *others)))


def loose_clip() -> Lines:
    """A perceptron whose gradients are longer than the radius."""
    return whole_job(step_traces.job(local_steps=1, rounds=1, clip_l2_norm=0.25))


def compiled_clip() -> Lines:
    """The same by the compiled kernel, here run as Python: what it computes shows without waiting for a compiler.

    Preflight counts are another kernel's, which is always compiled, and come from NumPy.
    """
    counts = mock.patch("fedcredit.custodian.contribute.binned_kernel_of", return_value=NUMPY)
    with mock.patch.dict(os.environ, NUMBA_DISABLE_JIT="1"), counts:
        job = step_traces.job(local_steps=1, rounds=1, clip_l2_norm=0.25)
        return whole_job(replace(job, kernel="compiled"))


def groupings() -> Lines:
    return whole_job(replace(tiny.spec(), evaluation=EvaluationTerms(score_bins=10, groupings=("type", "age"))))


def linked() -> Lines:
    """Banks that count linked rows."""
    job = linked_rows.job()
    return whole_job(job, linked_rows.federation(job))


def extra_round() -> Lines:
    """A round after the last."""
    job = tiny.spec()
    consortium = tiny.federation(job)
    model = checks.models(consortium, job)[Role.TRAIN]
    rounds = consortium.plan.phases.train.rounds

    def steps(out: Transcript, bank: Custodian) -> None:
        for number in (rounds, rounds + 1):
            out.ask_message(bank, checks.round_request(consortium, Role.TRAIN, model, round_=number))

    return after_join(steps, consortium, job)


def unwitnessed() -> Lines:
    """A request without the word of any peer."""

    def steps(out: Transcript, bank: Custodian) -> None:
        request = checks.addressed(bank, preflight(out, 1))
        out.ask(bank, out.consortium.coordinator_key.seal("coordinator", replace(request, witnesses=())))

    return after_join(steps)


def unapproved() -> Lines:
    """A plan that no operator has approved, under a policy that asks for it."""
    job, consortium = tiny.spec(), tiny.federation()
    plain = custodian_of(consortium, consortium.institutions[0], job, None)
    policy = plain._site.policy.model_copy(update={"approval": Approval.MANUAL})
    with tempfile.TemporaryDirectory() as folder:
        bank = checks.restarted(plain, policy=policy, jobs_folder=Path(folder) / "jobs")
        return joined_only(consortium, bank)


def cheap() -> Lines:
    """A plan of next to no cost, by the loudest noise that can be drawn."""
    consortium = tiny.federation()
    phases = consortium.plan.phases.model_dump()
    for terms in phases.values():
        terms["noise_variance"] = dict.fromkeys(terms["noise_variance"], 2**80)
    consortium = replace(consortium, plan=checks.changed(consortium.plan, phases=phases))
    return joined_only(consortium, custodian_of(consortium, consortium.institutions[0], tiny.spec(), None))


def old_units() -> Lines:
    """Data of the first epoch under a ledger in its second."""
    consortium = tiny.federation()
    plain = custodian_of(consortium, consortium.institutions[0], tiny.spec(), None)
    data, old = plain._site.data, hash_units([b"1", b"2"], bytes(32))
    bank = checks.restarted(plain, data=replace(data, units=old))
    joined_only(consortium, bank)
    bank.ledger.abandon(consortium.plan.digest())
    bank.ledger.open_epoch(hash_units([b"3"], bytes(32)))
    plan = checks.changed(consortium.plan, job="second")
    return joined_only(replace(consortium, plan=plan), bank)


def unlisted_module() -> Lines:
    """A plan whose torch module the site does not list."""
    from tests import own_module  # imports torch, which the other circumstances can do without

    model = ModuleSpec(
        module=f"{own_module.PATH}:ResidualNet", source_sha256=own_module.source_sha256(), rounds=1, sampling_rate=0.25
    )
    job = replace(tiny.spec(), model=model)
    consortium = tiny.federation(job)
    bank = custodian_of(consortium, consortium.institutions[0], job, None)
    return joined_only(consortium, checks.restarted(bank, modules={}))


def raw() -> Lines:
    """A job in which one institution reads its rows from a table on disk."""
    job, consortium = tiny.spec(), tiny.federation()
    with tempfile.TemporaryDirectory() as folder:
        bank = raw_site.raw_site(consortium, Path(folder)).custodian(raw_site.plain_rows(300))
        return whole_job(job, consortium, {**tiny.custodians(consortium, job), raw_site.NAME: bank})


CIRCUMSTANCES = {
    one.__name__: one
    for one in (
        default,
        distributed,
        drop,
        retry,
        resend,
        restart,
        person,
        sampled_persons,
        local_steps,
        loose_clip,
        compiled_clip,
        groupings,
        linked,
        extra_round,
        unwitnessed,
        unapproved,
        cheap,
        old_units,
        unlisted_module,
        raw,
        *group_circumstances.ALL,
        *question_circumstances.ALL,
    )
}


@contextlib.contextmanager
def fixed_randomness() -> Iterator[None]:
    """Let this process's operating system hand out the same bytes each time."""
    counter = itertools.count()

    def urandom(size: int) -> bytes:
        return hashlib.shake_256(b"%d" % next(counter)).digest(size)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(os, "urandom", urandom))
        for kind in (Ed25519PrivateKey, X25519PrivateKey):
            drawn = staticmethod(lambda kind=kind: kind.from_private_bytes(urandom(32)))
            stack.enter_context(mock.patch.object(kind, "generate", drawn))
        yield


class Kept(logging.Handler):
    """The log's lines."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: Lines = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"log {record.levelname} {record.name} {record.getMessage()}")


def main() -> None:
    """Print one circumstance."""
    log, root = Kept(), logging.getLogger("fedcredit")
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    with fixed_randomness():
        lines = CIRCUMSTANCES[sys.argv[1]]()
    sys.stdout.write("\n".join([*lines, *log.lines, ""]))


if __name__ == "__main__":
    main()
