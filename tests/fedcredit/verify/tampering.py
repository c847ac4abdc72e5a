"""Hands that a dishonest coordinator, or a dishonest member, lays on a finished run."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedcredit.job.progress import advance, start
from fedcredit.job.released import released_files
from fedcredit.job.store import JobStore
from fedcredit.plan import parse_plan
from fedcredit.wire.canonical import canonical_json, parse_json
from fedcredit.wire.envelope import open_envelope
from fedcredit.wire.heads import sign_head
from server.results import write_files
from simulations.federation import Federation
from tests.privacy_checks import changed

TAMPERINGS: dict[str, tuple[Callable[["Run"], None], str, str]] = {}
"""By what is done: the deed, the check that must fail, and a part of where."""


@dataclass(frozen=True)
class Run:
    """A copy of an honest run, with everybody's keys."""

    folder: Path
    consortium: Federation

    @property
    def released(self) -> Path:
        return self.folder / "released"

    @contextmanager
    def store(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.folder / "job.sqlite")) as connection:
            yield connection
            connection.commit()

    def packet(self, phase: str, round_: int, name: str) -> bytes:
        with self.store() as store:
            query = "SELECT envelope FROM packet WHERE phase = ? AND round = ? AND institution = ?"
            return store.execute(query, (phase, round_, name)).fetchone()[0]

    def put(self, phase: str, round_: int, name: str, packet: bytes) -> None:
        with self.store() as store:
            query = "UPDATE packet SET envelope = ? WHERE phase = ? AND round = ? AND institution = ?"
            store.execute(query, (packet, phase, round_, name))

    def message(self, phase: str, round_: int, name: str):
        return open_envelope(self.packet(phase, round_, name)).verify(self.consortium.keys[name].public)

    def sign(self, phase: str, round_: int, name: str, **changes: object) -> None:
        """The member itself says something else."""
        message = replace(self.message(phase, round_, name), **changes)
        self.put(phase, round_, name, self.consortium.keys[name].seal(name, message))

    def state(self, **changes: object) -> None:
        """bank-2 itself states something else in its receipt, in store and files."""
        statement = parse_json(self.message("release", 0, "bank-2").statement) | changes
        self.sign("release", 0, "bank-2", statement=canonical_json(statement))
        (self.released / "receipts" / "bank-2.json").write_bytes(canonical_json(statement))
        (self.released / "receipts" / "bank-2.envelope").write_bytes(self.packet("release", 0, "bank-2"))

    def edit(self, name: str, **changes: object) -> None:
        path = self.released / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2))

    def replan(self, **changes: object) -> None:
        """Another plan, in every place where the coordinator keeps it."""
        plan = changed(parse_plan((self.released / "plan.json").read_bytes()), **changes).to_bytes()
        (self.released / "plan.json").write_bytes(plan)
        with self.store() as store:
            store.execute("UPDATE job SET plan = ?", (plan,))

    def shift_sum(self, phase: str, round_: int, by: int = 4096) -> None:
        with self.store() as store:
            where = "WHERE phase = ? AND round = ?"
            (data,) = store.execute(f"SELECT sums FROM step {where}", (phase, round_)).fetchone()
            sums = np.frombuffer(data, dtype="<i8").copy()
            sums[0] += by
            store.execute(f"UPDATE step SET sums = ? {where}", (sums.tobytes(), phase, round_))

    def release_again(self) -> None:
        """Write the files that follow from the store as it is now."""
        plan, dictionary = self.consortium.plan, self.consortium.dictionary
        with JobStore(self.folder / "job.sqlite", plan.to_bytes()) as store:
            progress = start(plan)
            for decided in store.steps():
                progress = advance(plan, dictionary, progress, decided)
            write_files(self.released, released_files(plan, dictionary, progress, store.packets("release")))


def tampering(check: str, where: str):
    """Register a deed under its docstring."""

    def register(deed: Callable[[Run], None]) -> Callable[[Run], None]:
        TAMPERINGS[deed.__doc__ or ""] = (deed, check, where)
        return deed

    return register


@tampering("sums", "train 2, attempt 1")
def _(run: Run) -> None:
    """a recorded sum is changed"""
    run.shift_sum("train", 2)


@tampering("released model", "model.json")
def _(run: Run) -> None:
    """the released model is swapped"""
    path = run.released / "model.json"
    path.write_bytes(path.read_bytes().replace(b'"weights"', b'"weigths"', 1) + b" ")


@tampering("sums", "train 1, attempt 1")
def _(run: Run) -> None:
    """sums and model are changed together"""
    run.shift_sum("train", 1)
    run.release_again()


@tampering("released model", "model.json")
def _(run: Run) -> None:
    """the last sum is changed, and every file follows from it"""
    run.shift_sum("train", 2, 2**20)
    run.release_again()


@tampering("rounds", "evaluate 1, attempt 1")
def _(run: Run) -> None:
    """a round is removed"""
    with run.store() as store:
        for table in ("step", "packet"):
            store.execute(f"DELETE FROM {table} WHERE phase = 'train' AND round = 2")


@tampering("rounds", "the end")
def _(run: Run) -> None:
    """the end is cut off"""
    with run.store() as store:
        for table in ("step", "packet"):
            store.execute(f"DELETE FROM {table} WHERE phase = 'release'")


@tampering("models", "evaluate 1, attempt 1, bank-1")
def _(run: Run) -> None:
    """training is said to have ended early"""
    with run.store() as store:
        store.execute("UPDATE step SET outcome = 'ended', sums = x'' WHERE phase = 'train' AND round = 2")
        store.execute("DELETE FROM packet WHERE phase = 'train' AND round = 2")
    run.release_again()


@tampering("contributions", "train 2, attempt 1, bank-2")
def _(run: Run) -> None:
    """a member's message is replaced by another member's"""
    run.put("train", 2, "bank-2", run.packet("train", 2, "bank-3"))


@tampering("contributions", "train 2, attempt 1, bank-2")
def _(run: Run) -> None:
    """a member's message is replaced by its own of another round"""
    run.put("train", 2, "bank-2", run.packet("train", 1, "bank-2"))


@tampering("contributions", "train 2, attempt 1, bank-2")
def _(run: Run) -> None:
    """a message of another job is put in"""
    run.sign("train", 2, "bank-2", plan_hash=bytes(32))


@tampering("contributions", "evaluate 1, attempt 1, bank-3")
def _(run: Run) -> None:
    """one bit of a vector is turned"""
    packet = bytearray(run.packet("evaluate", 1, "bank-3"))
    packet[len(packet) // 2] ^= 1
    run.put("evaluate", 1, "bank-3", bytes(packet))


@tampering("contributions", "preflight 1, attempt 1, bank-4")
def _(run: Run) -> None:
    """a member's message is taken out"""
    with run.store() as store:
        store.execute("DELETE FROM packet WHERE phase = 'preflight' AND institution = 'bank-4'")


@tampering("models", "train 2, attempt 1, bank-1")
def _(run: Run) -> None:
    """a member was shown another model"""
    run.sign("train", 2, "bank-1", model_hash=bytes(32))


@tampering("rounds", "evaluate 1, attempt 1")
def _(run: Run) -> None:
    """a step's members are changed"""
    with run.store() as store:
        left = canonical_json(["bank-1", "bank-2", "bank-3"])
        store.execute("UPDATE step SET members = ? WHERE phase = 'evaluate'", (left,))


@tampering("joins", "join 0, attempt 1, bank-1")
def _(run: Run) -> None:
    """the plan is changed everywhere"""
    run.replan(purpose="another purpose")


@tampering("plan", "job.sqlite")
def _(run: Run) -> None:
    """plan.json is changed"""
    plan = changed(run.consortium.plan, purpose="another purpose")
    (run.released / "plan.json").write_bytes(plan.to_bytes())


@tampering("roster", "roster.yaml")
def _(run: Run) -> None:
    """a member's key in the roster is changed"""
    plan = run.consortium.plan
    members = [one.model_dump() for one in plan.roster.members]
    members[1]["public_key"] = run.consortium.coordinator_key.public.hex()
    run.replan(roster={**plan.roster.model_dump(), "members": members})


@tampering("dictionary", "dictionary.yaml")
def _(run: Run) -> None:
    """the dictionary is changed"""
    path = run.released / "dictionary.yaml"
    path.write_bytes(path.read_bytes().replace(b"unit: years", b"unit: weeks"))


@tampering("keys", "keys 0, attempt 1, bank-1")
def _(run: Run) -> None:
    """a join is replaced by a later one of the same member"""
    run.sign("join", 0, "bank-3", nonce=bytes(32))


@tampering("ledger heads", "train 2, attempt 1, bank-2")
def _(run: Run) -> None:
    """a member answered from an older copy of its ledger"""
    key, hash_ = run.consortium.keys["bank-2"], bytes(32)
    run.sign("train", 2, "bank-2", event_count=3, event_hash=hash_, head_signature=sign_head(key, "bank-2", 3, hash_))


@tampering("messages", "bank-2, train 2, attempt 1")
def _(run: Run) -> None:
    """a receipt lists fewer messages than were sent"""
    charged = parse_json(run.message("release", 0, "bank-2").statement)["charged"]
    kept = [place for place in charged if place[:2] != ["train", 2]]
    run.state(charged=kept, messages=len(kept))


@tampering("epsilons", "bank-2, epsilon_spent")
def _(run: Run) -> None:
    """a receipt states a smaller epsilon"""
    run.state(epsilon_spent=0.1)


@tampering("epsilons", "bank-2, epsilon_t")
def _(run: Run) -> None:
    """a receipt states a smaller planned epsilon"""
    run.state(epsilon_t=1.0)


@tampering("receipts", "receipts/bank-2.json")
def _(run: Run) -> None:
    """a receipt's file is edited"""
    run.edit("receipts/bank-2.json", epsilon_spent=0.1)


@tampering("receipts", "bank-1")
def _(run: Run) -> None:
    """two institutions' receipts are swapped"""
    first, second = run.packet("release", 0, "bank-1"), run.packet("release", 0, "bank-2")
    for name, packet in (("bank-1", second), ("bank-2", first)):
        run.put("release", 0, name, packet)
        (run.released / "receipts" / f"{name}.envelope").write_bytes(packet)


@tampering("receipts", "bank-2")
def _(run: Run) -> None:
    """a receipt is for another model"""
    run.sign("release", 0, "bank-2", model_hash=bytes(32))


@tampering("job", "job.json, receipts")
def _(run: Run) -> None:
    """an unwelcome receipt is taken out"""
    with run.store() as store:
        store.execute("DELETE FROM packet WHERE phase = 'release' AND institution = 'bank-4'")


@tampering("evaluation", "evaluation.json, auc")
def _(run: Run) -> None:
    """the released accuracy is improved"""
    run.edit("evaluation.json", auc=0.99)


@tampering("counts", "counts.json, evaluation[0].counts[0][1][3]")
def _(run: Run) -> None:
    """a released count of bad customers is lowered"""
    counts = json.loads((run.released / "counts.json").read_text())
    counts["evaluation"][0]["counts"][0][1][3] -= 5
    run.edit("counts.json", **counts)


@tampering("job", "job.json, left_out")
def _(run: Run) -> None:
    """job.json lies about who was left out"""
    run.edit("job.json", left_out=["bank-4"])


@tampering("store", "job.sqlite")
def _(run: Run) -> None:
    """the store is damaged"""
    (run.folder / "job.sqlite").write_bytes(b"no database" * 1000)
