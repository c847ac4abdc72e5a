"""SITE.yaml: where an institution's custodian finds its data, keys, roster, policy and ledger.

Paths are relative to the file. Nothing in it comes from a coordinator.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedcredit.audit.trail_file import trail_of
from fedcredit.custodian.data_process import DataOrder
from fedcredit.custodian.group_labels import group_problems
from fedcredit.custodian.jobs_folder import jobs_folder_of
from fedcredit.custodian.policy import Policy, load_policy, require_unshared
from fedcredit.custodian.site import NotPrivate, Site
from fedcredit.data.rows import Dataset
from fedcredit.data.source_spec import SourceSpec
from fedcredit.dictionary.mapping import Mapping, identity_mapping, load_mapping
from fedcredit.dictionary.problems import validation_problems
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.dictionary.strict_yaml import parse_yaml
from fedcredit.errors import ConfigError
from fedcredit.models.binned_kernel import binned_kernel_of
from fedcredit.models.mlp_kernel import clipped_sums_of
from fedcredit.models.module_spec import ImportPath, SourceHash
from fedcredit.roster import Roster
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.public_keys import PublicKeyHex

Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class NotPrivateDeclaration(BaseModel):
    """Declares that the data are public or synthetic, so that jobs without privacy may read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    declared: Literal["public", "synthetic"]


class SiteFile(BaseModel):
    """The fields of SITE.yaml.

    Attributes
    ----------
    population
        Name of the population whose ledger this is: every snapshot of its data is charged to the same ledger.
    data_key
        File with 32 random bytes as hex; decides by HMAC which rows are set aside for evaluation.
    mapping
        Column mapping; left out where the columns carry the dictionary's names.
    policy, not_private
        Exactly one of the two.
    modules
        Torch modules that may run here: import path, and SHA-256 of the file that was reviewed.
    kernel
        What computes a perceptron's sums: ``compiled`` needs the extra `fast` and gives the same integers sooner.
    cells_on_disk
        Whether quantised records lie in files without a name on the ledger's disk, and not in memory.
    ledger_counter
        The institution's own count of the ledger's events, best on another disk; beside the ledger if left out.
    socket, socket_group
        The Unix socket, and the group whose accounts may connect; this account only if left out.
    loopback_port, relay_token
        A port on 127.0.0.1 as well, and the file with the token that every caller must show.
    metrics_port
        Port on 127.0.0.1 of Prometheus metrics; they tell this institution's own budget.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    institution: str
    kind: str
    population: str
    dictionary: Path
    roster: Path
    identity_key: Path
    data_key: Path
    data: Annotated[SourceSpec, Field(discriminator="kind")]
    mapping: Path | None = None
    evaluation_percent: int = Field(default=20, ge=1, le=90)
    coordinators: dict[str, PublicKeyHex] = Field(min_length=1)
    policy: Path | None = None
    not_private: NotPrivateDeclaration | None = None
    modules: dict[ImportPath, SourceHash] = Field(default_factory=dict)
    kernel: Literal["numpy", "compiled"] = "numpy"
    cells_on_disk: Annotated[bool, Field(strict=True)] = False
    ledger: Path
    ledger_counter: Path | None = None
    socket: Path
    socket_group: Annotated[str, Field(min_length=1)] | None = None
    loopback_port: Port | None = None
    relay_token: Path | None = None
    metrics_port: Port | None = None

    @model_validator(mode="after")
    def _guarded_port(self) -> Self:
        if self.loopback_port is not None and self.relay_token is None:
            raise ValueError("loopback_port is open to every account of the machine; name a relay_token as well")
        return self

    @model_validator(mode="after")
    def _one_promise(self) -> Self:
        if (self.policy is None) == (self.not_private is None):
            raise ValueError("give either a policy file or not_private, and not both")
        return self


def load_site_file(path: Path) -> SiteFile:
    """Read SITE.yaml and resolve its paths against its folder.

    Raises
    ------
    ConfigError
        If the file is missing, somebody else's or writable by others although it names a policy, or holds a wrong,
        unknown or missing field.
    """
    if not path.is_file():
        raise ConfigError(f"site file {path} does not exist; copy a SITE.yaml from clients/bank or clients/hospital.")
    document = parse_yaml(path.read_bytes(), f"site file {path}")
    try:
        site = SiteFile.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"site file {path}: {'; '.join(validation_problems(error, document))}.") from error
    if site.policy is not None:
        # It says which policy holds, and which coordinators are answered.
        require_unshared(path, "site file")
    folder = path.resolve().parent
    names = (
        "dictionary",
        "roster",
        "identity_key",
        "data_key",
        "mapping",
        "policy",
        "ledger",
        "ledger_counter",
        "socket",
        "relay_token",
    )
    resolved = {name: folder / value for name in names if (value := getattr(site, name)) is not None}
    return site.model_copy(update={**resolved, "data": site.data.relative_to(folder)})


def load_site(file: SiteFile, read: Callable[[DataOrder], Dataset] | None = None) -> Site:
    """Read everything that a custodian holds, the data last.

    Parameters
    ----------
    read
        Reads the table; what serves for long has it done by a process of its own. None reads it here.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, or the table lacks a declared column. No value of a record is looked at.
    """
    for kernel_of in (clipped_sums_of, binned_kernel_of):
        kernel_of(file.kernel)  # what it lacks is said now, and not in a job
    policy = load_policy(file.policy) if file.policy is not None else _not_private(file)
    key, roster = SigningKey.load(file.identity_key), load_roster(file.roster)
    for problem in membership_problems(file, roster, key):
        raise ConfigError(problem)
    dictionary = load_dictionary(file.dictionary)
    mapping = site_mapping(file, dictionary)
    if isinstance(policy, Policy):
        require_deployable(dictionary, mapping)
        for problem in group_problems(policy, mapping):
            raise ConfigError(problem)
    return Site(
        institution=file.institution,
        kind=file.kind,
        dictionary=dictionary,
        data=(read or _read_here)(_order(file, policy)),
        key=key,
        roster=roster,
        coordinators={name: bytes.fromhex(key) for name, key in file.coordinators.items()},
        policy=policy,
        evaluation_percent=None if mapping.split is not None else file.evaluation_percent,
        jobs_folder=jobs_folder_of(file.ledger),
        audit_trail=trail_of(file.ledger),
        modules=file.modules,
        kernel=file.kernel,
    )


def membership_problems(file: SiteFile, roster: Roster, key: SigningKey) -> list[str]:
    """What keeps this site from being the roster's member of its name, one sentence each.

    A site whose own key is pinned in a roster that all members signed has signed it itself, so nobody else can have
    put another roster in its place.
    """
    member = roster.member(file.institution)
    if member is None:
        return [f"{file.institution} is not in roster {file.roster}; have it added with key {key.public.hex()}."]
    out = []
    if member.kind != file.kind:
        out.append(f"roster {file.roster} has {file.institution} as a {member.kind}, SITE.yaml as a {file.kind}.")
    if member.public_key != key.public.hex():
        out.append(f"roster {file.roster} has another key for {file.institution}; this site's is {key.public.hex()}.")
    return out


def site_mapping(file: SiteFile, dictionary: DataDictionary) -> Mapping:
    """The institution's column mapping, or the identity where none is declared."""
    return identity_mapping(dictionary, file.kind) if file.mapping is None else load_mapping(file.mapping)


def _read_here(order: DataOrder) -> Dataset:
    from fedcredit.custodian.read_data import read_dataset  # noqa: PLC0415  (imports Arrow, which stays in memory)

    return read_dataset(order)


def _order(file: SiteFile, policy: Policy | NotPrivate) -> DataOrder:
    per_person = isinstance(policy, Policy) and policy.unit.value == "person"
    return DataOrder(
        kind=file.kind,
        dictionary=file.dictionary,
        mapping=file.mapping,
        data=file.data,
        data_key=file.data_key,
        evaluation_percent=file.evaluation_percent,
        person_cap=policy.max_records_per_person if isinstance(policy, Policy) and per_person else None,
        cells_folder=file.ledger.parent if file.cells_on_disk else None,
    )


def _not_private(file: SiteFile) -> NotPrivate:
    if file.not_private is None:
        raise ConfigError("the site file has neither a policy nor not_private; add one.")
    return NotPrivate(file.not_private.declared)


def require_deployable(dictionary: DataDictionary, mapping: Mapping) -> None:
    """Refuse what only public or synthetic data may have.

    Raises
    ------
    ConfigError
        If the dictionary's ranges come from data, or a column decides on the roles of rows.
    """
    if dictionary.simulation_only:
        raise ConfigError(
            f"dictionary {dictionary.name!r} took its ranges from data and is for simulation only; declare public ones."
        )
    if mapping.split is not None:
        raise ConfigError("a split column is for public data only; remove it, roles are drawn from ids.")
