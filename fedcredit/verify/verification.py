"""All checks of a run, in the order in which each rests on the ones before."""

from dataclasses import dataclass
from pathlib import Path

from fedcredit.custodian.site_file import SiteFile
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.errors import ConfigError, DictionaryError, JobError, WireError
from fedcredit.models.family import family_of
from fedcredit.plan import Plan, parse_plan
from fedcredit.roster_file import read_roster_file
from fedcredit.verify.checks import Check, Result, failed, passed, unchecked
from fedcredit.verify.own import check_own
from fedcredit.verify.receipts import Transcript, check_others, check_receipts, receipts_of
from fedcredit.verify.released import check_released
from fedcredit.verify.replay import Replay, replay
from fedcredit.verify.run_files import Recorded, RunFiles, files_with, read_store
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import open_envelope

_WITHOUT_STORE = (
    ("rounds", "whether a round is missing"),
    ("joins", "who joined"),
    ("keys", "under which keys sums were masked"),
    ("contributions", "the signed vectors"),
    ("models", "on which models they were computed"),
    ("sums", "whether the sums are theirs"),
    ("ledger heads", "whether a ledger went back"),
    ("released model", "whether the model follows from the sums"),
    ("counts", "whether the counts are the sums' own"),
    ("evaluation", "whether the figures follow from the sums"),
    ("job", "who was left out"),
)


@dataclass(frozen=True, slots=True)
class Beside:
    """What the reader has besides the run.

    Attributes
    ----------
    plan_hash
        Beginning of the plan's hash that the reader expects, as hex.
    roster
        The signed roster's file.
    receipts
        Folder with receipts that members gave out themselves.
    own
        The reader's own site.
    """

    plan_hash: str | None = None
    roster: Path | None = None
    receipts: Path | None = None
    own: SiteFile | None = None


def verify_run(files: RunFiles, beside: Beside = Beside()) -> list[Check]:
    """Every check of a run; nothing is written.

    Raises
    ------
    ConfigError, LedgerError
        If one of the reader's own files cannot be read.
    """
    try:
        plan = parse_plan(files.read("plan.json") or b"")
    except ConfigError as error:
        return [failed("plan", "plan.json", str(error))]
    recorded, checks = _store(files, plan)
    checks = [*_plan(plan, recorded, beside), *_roster(plan, files, beside), *checks]
    dictionary = _dictionary(files, plan, checks)
    job = replay(plan, dictionary, recorded) if recorded is not None and dictionary is not None else None
    stored = {} if recorded is None else recorded.packets.get(("release", 0), {})
    checks += _job(files, plan, job, stored)
    model = _released_model(plan, job) or files.read("model.json") or b""
    attempts = frozenset() if job is None else frozenset(job.failed_attempts)
    checks += check_receipts(files, plan, model, stored, Transcript(None if job is None else job.sent, attempts))
    receipts = receipts_of(files, stored)
    if beside.receipts is not None:
        checks += check_others(plan, receipts, _others(beside.receipts))
    if beside.own is not None:
        checks += check_own(beside.own, plan, recorded, attempts, receipts)
    return checks


def _plan(plan: Plan, recorded: Recorded | None, beside: Beside) -> list[Check]:
    found, plan_hash = [], plan.digest().hex()
    if recorded is not None and recorded.plan != plan.to_bytes():
        found.append(failed("plan", "job.sqlite", "the store was kept for another plan than plan.json"))
    if beside.plan_hash is not None and not plan_hash.startswith(beside.plan_hash.lower()):
        found.append(failed("plan", "plan.json", f"its hash is {plan_hash}, not the expected one"))
    sentence = f"hash {plan_hash}, coordinator {plan.coordinator!r} with key {plan.coordinator_key}"
    return found or [passed("plan", sentence)]


def _roster(plan: Plan, files: RunFiles, beside: Beside) -> list[Check]:
    path = beside.roster or files.released / "roster.yaml"
    if not path.is_file() and beside.roster is None:
        return [unchecked("roster", "", "the run holds no roster.yaml; give --roster to check who its members are")]
    signed = read_roster_file(path)
    problems = signed.faults()
    if signed.roster.digest() != plan.roster.digest():
        problems.append("is another roster than the plan's")
    sentence = f"version {plan.roster.version}, signed by all of its {len(plan.members)} members"
    return [failed("roster", str(path), f"it {problem}") for problem in problems] or [passed("roster", sentence)]


def _store(files: RunFiles, plan: Plan) -> tuple[Recorded | None, list[Check]]:
    if files.store is None:
        detail = "the run holds no job.sqlite, the coordinator's store with the signed messages; give --store"
        return None, [unchecked("store", "", detail)]
    try:
        recorded = read_store(files.store)
    except JobError as error:
        return None, [failed("store", str(files.store), str(error))]
    return recorded, [passed("store", f"{len(recorded.steps)} steps of {plan.job}")]


def _dictionary(files: RunFiles, plan: Plan, checks: list[Check]) -> DataDictionary | None:
    content = files.read("dictionary.yaml")
    if content is None:
        checks.append(failed("dictionary", "dictionary.yaml", "it is missing, and sums cannot be read without it"))
        return None
    try:
        dictionary = parse_dictionary(content)
    except DictionaryError as error:
        checks.append(failed("dictionary", "dictionary.yaml", str(error)))
        return None
    if dictionary.digest().hex() != plan.dictionary:
        checks.append(failed("dictionary", "dictionary.yaml", "it is another one than the plan names"))
        return None
    checks.append(passed("dictionary", f"hash {plan.dictionary}"))
    return dictionary


def _job(files: RunFiles, plan: Plan, job: Replay | None, stored: dict[str, bytes]) -> list[Check]:
    """The replay's checks, and those of the files that rest on it."""
    if job is None:
        return [unchecked(name, "", f"{what} needs store and dictionary") for name, what in _WITHOUT_STORE]
    if not job.over:
        rest = [unchecked(name, "", "it needs every step of the job") for name, _ in _WITHOUT_STORE[-4:]]
        return [*job.checks(), *rest]
    return [*job.checks(), *check_released(files, plan, job.dictionary, job.progress, stored)]


def _released_model(plan: Plan, job: Replay | None) -> bytes | None:
    if job is None or not job.over or job.progress.state is None:
        return None
    return canonical_json(family_of(plan.model.family).release(job.progress.state))


def _others(folder: Path) -> dict[str, bytes]:
    """Receipts that members gave out, by whom each says it is from."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give the one with the other members' receipt files.")
    found = {}
    for stem, content in files_with(folder, "").items():
        try:
            found[open_envelope(content).sender] = content
        except WireError as error:
            raise ConfigError(f"{folder / stem} is no receipt ({error}); ask its member for it again.") from error
    if not found:
        raise ConfigError(f"{folder} holds no receipt; members write theirs with 'fedcredit audit receipt'.")
    return found


def holds(checks: list[Check]) -> bool:
    """Whether nothing failed."""
    return all(check.result is not Result.FAILED for check in checks)
