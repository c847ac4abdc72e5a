"""Approval by a person: under a policy that asks for it, no plan is joined that no operator has approved.

A plan that passed every other check waits in a folder beside the ledger. The operator's decision is a file there,
signed with the institution's identity key over the plan's hash, the institution and the population: nobody else can
write one, and it holds for no other plan or ledger. A denial is final. The custodian needs no restart.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedcredit.custodian.jobs_folder import JobsFolder
from fedcredit.errors import ConfigError, RefusalError
from fedcredit.plan import plan_digest
from fedcredit.roster import HashHex
from fedcredit.wire.canonical import canonical_json, length_prefixed, parse_json
from fedcredit.wire.envelope import SigningKey, verify_signature


class Decision(BaseModel):
    """What an operator decided about one plan.

    Attributes
    ----------
    institution, population
        For whose ledger it holds.
    job, purpose, coordinator
        The plan's own words, for lists.
    approved
        Or denied.
    by, at, reason
        The operating system's account, the machine's time (UTC), and why; they stay at the institution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    institution: str
    population: str
    plan_hash: HashHex
    job: str
    purpose: str
    coordinator: str
    approved: bool
    by: str
    at: str
    reason: str = ""

    @property
    def file_kind(self) -> str:
        """Kind of file that holds it; one of each may stand in the folder, and then a denial counts."""
        return "approve" if self.approved else "deny"

    def signed(self, key: SigningKey) -> bytes:
        """The file's bytes."""
        return canonical_json({"decision": self.model_dump(), "signature": key.sign(self._signed_bytes()).hex()})

    def holds(self, signature: bytes, public_key: bytes) -> bool:
        """Tell whether the owner of a key signed it."""
        return verify_signature(public_key, self._signed_bytes(), signature)

    def _signed_bytes(self) -> bytes:
        return length_prefixed("job-decision", canonical_json(self.model_dump()))


class _DecisionFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Decision
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")


@dataclass(frozen=True, slots=True)
class Approvals:
    """The decisions about one ledger's jobs.

    Attributes
    ----------
    folder
        Where they are.
    institution, population
        Whose ledger.
    public_key
        The institution's identity key.
    """

    folder: JobsFolder
    institution: str
    population: str
    public_key: bytes

    def decision(self, plan_hash: bytes) -> Decision | None:
        """The decision about a plan, a denial before an approval; None if there is none.

        Raises
        ------
        ConfigError
            If a file of this plan is unusable, or not signed by this institution for this plan and ledger.
        """
        return self._read(plan_hash, "deny") or self._read(plan_hash, "approve")

    def require(self, plan_hash: bytes, plan: bytes) -> Decision:
        """Return the approval of a plan that passed every other check; without one, keep it for the operator.

        Raises
        ------
        RefusalError
            If nobody has decided yet, the plan was denied, or what is in the folder cannot be used.
        """
        decision = self.guard_not_denied(plan_hash)
        if decision is not None:
            return decision
        try:
            self.folder.keep_waiting(plan_hash, plan)
        except ConfigError as error:
            raise _unusable() from error
        raise RefusalError("approval", "this site's operator approves each plan; this one waits. Ask again later.")

    def guard_not_denied(self, plan_hash: bytes) -> Decision | None:
        """Refuse a plan that was denied, before it was joined or since.

        Returns
        -------
        Decision or None
            The approval, read in the same look: between two looks a denial could come.

        Raises
        ------
        RefusalError
            If it was, or if what the folder holds about it cannot be used.
        """
        decision = self._known(plan_hash)
        if decision is not None and not decision.approved:
            raise RefusalError("approval", "this site's operator denied the plan; agree on another one.")
        return decision

    def waiting(self) -> list[bytes]:
        """Hashes of the plans that nobody has decided about."""
        decided = {*self.folder.hashes("approve"), *self.folder.hashes("deny")}
        return [plan_hash for plan_hash in self.folder.hashes("plan") if plan_hash not in decided]

    def plan(self, plan_hash: bytes) -> bytes | None:
        """A kept plan's exact bytes; None if it is not kept (any more).

        Raises
        ------
        ConfigError
            If the file holds another plan than its name says.
        """
        data = self.folder.read(plan_hash, "plan")
        if data is not None and plan_digest(data) != plan_hash:
            raise ConfigError(f"the plan kept as {plan_hash.hex()} is another one; remove that file.")
        return data

    def decide(self, decision: Decision, key: SigningKey) -> None:
        """Sign a decision and put it where the custodian looks.

        Raises
        ------
        ConfigError
            If the plan was denied before, or was approved before and is to be approved again.
        """
        plan_hash = bytes.fromhex(decision.plan_hash)
        earlier = self.decision(plan_hash)
        if earlier is not None and (decision.approved or not earlier.approved):
            word = "approved" if earlier.approved else "denied, which is final,"
            raise ConfigError(
                f"{earlier.job} ({earlier.plan_hash[:16]}) was {word} by {earlier.by} at {earlier.at}; 'fedcredit jobs "
                "list' shows what waits."
            )
        self.folder.write(plan_hash, decision.file_kind, decision.signed(key))
        if not decision.approved:
            self.folder.remove(plan_hash, "plan")

    def _known(self, plan_hash: bytes) -> Decision | None:
        """As `decision`, for the custodian: what is unusable lets nothing in, and the wire gets no path."""
        try:
            return self.decision(plan_hash)
        except ConfigError as error:
            raise _unusable() from error

    def _read(self, plan_hash: bytes, what: str) -> Decision | None:
        data = self.folder.read(plan_hash, what)
        if data is None:
            return None
        path = self.folder.path / f"{plan_hash.hex()}.{what}"
        try:
            file = _DecisionFile.model_validate(parse_json(data))
        except (ValidationError, ValueError) as error:
            raise ConfigError(f"{path} is no decision; remove it and decide again.") from error
        found = file.decision
        place = (found.institution, found.population, found.plan_hash, found.file_kind)
        if place != (self.institution, self.population, plan_hash.hex(), what):
            raise ConfigError(f"{path} is a decision about another plan or another ledger; remove it and decide again.")
        if not found.holds(bytes.fromhex(file.signature), self.public_key):
            raise ConfigError(f"{path} is not signed with this site's identity key; remove it and decide again.")
        return found


def _unusable() -> RefusalError:
    return RefusalError(
        "approval", "what is decided about this plan cannot be used; the operator looks with 'jobs list'."
    )
