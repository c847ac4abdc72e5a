"""Everything that is wrong with a site, at once, before it joins anything.

For the institution's own console only: the sentences about the table come from its values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from fedcredit.custodian.door import Door
from fedcredit.custodian.group_labels import group_problems
from fedcredit.custodian.policy import Policy, load_policy
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.custodian.site_file import SiteFile, membership_problems, require_deployable, site_mapping
from fedcredit.custodian.unit_slips import Reference, unit_slips
from fedcredit.data.sources import open_source
from fedcredit.dictionary.check import examine_table
from fedcredit.dictionary.mapping import Mapping
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import ConfigError, FedcreditError
from fedcredit.key_files import load_data_key
from fedcredit.monitoring.run import read_released
from fedcredit.roster_file import SignedRoster, read_roster_file
from fedcredit.wire.envelope import SigningKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SiteFindings:
    """What a check found.

    Attributes
    ----------
    problems, notes
        One sentence each: what must be put right, and what is worth a look.
    n_columns
        Number of declared columns, target and id included; 0 if the declaration itself is at fault.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    n_columns: int


def examine_site(file: SiteFile) -> SiteFindings:
    """Read every file that SITE.yaml names and look at every declared column."""
    problems: list[str] = []
    policy = _part(problems, partial(load_policy, file.policy)) if file.policy is not None else None
    key = _part(problems, lambda: SigningKey.load(file.identity_key))
    _part(problems, lambda: load_data_key(file.data_key))
    roster = _part(problems, lambda: read_roster_file(file.roster))
    if roster is not None:
        problems += roster_problems(file, roster, key)
    if (token := file.relay_token) is not None:
        _part(problems, lambda: load_relay_token(token))
    _part(problems, Door(file.socket, file.socket_group).check)
    found = examine_data(file, policy)
    return SiteFindings((*problems, *found.problems), found.notes, found.n_columns)


def units_against(file: SiteFile, run: Path) -> tuple[str, ...]:
    """Columns that look as if they had another unit than in a finished job, one sentence each.

    Parameters
    ----------
    run
        Folder of the job's released files.

    Raises
    ------
    ConfigError, DataError
        If the job had another dictionary, or a file or a column cannot be read.
    """
    dictionary, released = load_dictionary(file.dictionary), read_released(run)
    plan = released.plan
    if plan.dictionary != dictionary.digest().hex():
        raise ConfigError(f"the job in {run} had another dictionary than {file.dictionary}; name a job of this one.")
    mapping = site_mapping(file, dictionary)
    table = open_source(file.data).read(list(mapping.columns))
    took_part = file.institution in released.summary.get("institutions", ())
    own_share = (100 - plan.evaluation_percent) / 100 if took_part else 0.0
    reference = Reference(released.counts.features, own_share)
    found = unit_slips(dictionary, file.kind, mapping, table, reference)
    return tuple(f"{mapping.features[one.feature].column}: {one.sentence}" for one in found)


def examine_data(file: SiteFile, policy: Policy | None) -> SiteFindings:
    """Look at every declared column, and at the dictionary and the mapping that declare them."""
    problems: list[str] = []
    dictionary = _part(problems, lambda: load_dictionary(file.dictionary))
    mapping = _part(problems, lambda: site_mapping(file, dictionary)) if dictionary is not None else None
    if dictionary is None or mapping is None:
        return SiteFindings(tuple(problems), (), 0)
    return _with_table(file, policy, dictionary, mapping, problems)


def _with_table(
    file: SiteFile, policy: Policy | None, dictionary: DataDictionary, mapping: Mapping, problems: list[str]
) -> SiteFindings:
    if policy is not None:
        _part(problems, lambda: require_deployable(dictionary, mapping))
        problems += _class_problems(file, policy, dictionary) + group_problems(policy, mapping)
    unit, cap = (policy.unit.value, policy.max_records_per_person) if policy is not None else ("record", 1)
    found = _part(
        problems, lambda: examine_table(dictionary, file.kind, mapping, open_source(file.data), unit=unit, cap=cap)
    )
    if found is None:
        return SiteFindings(tuple(problems), (), 0)
    return SiteFindings((*problems, *found.problems), found.notes, len(mapping.columns))


def _part(problems: list[str], read: Callable[[], T]) -> T | None:
    """Read one part of a site; what is wrong with it joins the list."""
    try:
        return read()
    except FedcreditError as error:
        problems.append(str(error))
        return None


def roster_problems(file: SiteFile, signed: SignedRoster, key: SigningKey | None) -> list[str]:
    """What keeps a site from taking part under its roster, one sentence each."""
    out = [f"roster {file.roster} {fault}." for fault in signed.faults()]
    if signed.roster.expired(datetime.now(UTC).date()):
        out.append(
            f"roster {file.roster} was valid until {signed.roster.expires}; have the members sign version "
            f"{signed.roster.version + 1}."
        )
    return out if key is None else out + membership_problems(file, signed.roster, key)


def _class_problems(file: SiteFile, policy: Policy, dictionary: DataDictionary) -> list[str]:
    if file.kind not in dictionary.kinds:
        return []
    refused = [one.name for one in dictionary.owned_features(file.kind) if one.data_class in policy.refused_classes]
    return [f"the policy refuses the class of {', '.join(refused)}; every job would be refused."] if refused else []
