"""The registry itself: the fold of its entries, and how one more is made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.registry.artifact import read_artifact
from fedcredit.registry.entries import Entry, new_entry
from fedcredit.registry.registry_file import RegistryFile
from fedcredit.registry.states import Standing, State, moved
from fedcredit.registry.storage import append, read_entries
from fedcredit.wire.envelope import SigningKey

LOWEST_TIER = 3
"""Tiers run from 1, on which most depends, to this one; what they mean is the institution's model-risk policy."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model after all entries about it.

    Attributes
    ----------
    standing
        State, developer, validator.
    path, sha256, lineage
        Where its bytes lay when it was added, their hash, and what they name.
    owner, tier
        Who answers for its use, and its materiality tier, as its first entry says; None where that says nothing.
    history
        The values of its entries, oldest first.
    """

    name: str
    standing: Standing
    path: str
    sha256: str
    lineage: dict[str, str]
    history: tuple[dict[str, Any], ...]
    owner: str | None = None
    tier: int | None = None


def fold(file: RegistryFile, entries: Sequence[Entry]) -> dict[str, Model]:
    """All models, in the order added; every entry is checked as if it were made now, with former roles counted.

    Raises
    ------
    LedgerError
        At the first entry that its signer may not have made.
    """
    models: dict[str, Model] = {}
    for entry in entries:
        values = entry.values
        try:
            _require_own(file, values)
            roles = _roles_once(file, values)
            models[values["model"]] = _after(models.get(values["model"]), values, roles)
        except KeyError as error:
            raise LedgerError(f"registry entry {entry.number} names {error}, which the registry file lacks.") from error
        except (ConfigError, ValueError) as error:
            raise LedgerError(f"registry entry {entry.number} does not hold: {error}") from error
    return models


def _require_own(file: RegistryFile, values: dict[str, Any]) -> None:
    """Or what people signed in a registry for trying things out could be put in this one's place."""
    if values["registry"] != file.name:
        raise ConfigError(f"it was signed for the registry {values['registry']!r:.80}, not for {file.name!r}.")


def _roles_once(file: RegistryFile, values: dict[str, Any]) -> frozenset[str]:
    """What the signer of an entry may do now, or was allowed once."""
    person = file.people[values["by"]]
    if person.key != values["key"]:
        raise ConfigError(f"{values['by']} has another key in the registry file.")
    return frozenset((*person.roles, *person.former_roles))


def _after(model: Model | None, values: dict[str, Any], roles: frozenset[str]) -> Model:
    standing = moved(None if model is None else model.standing, State(values["to"]), values["by"], roles)
    if model is None:
        known = str(values["path"]), str(values["sha256"]), dict(values["lineage"])
        owner, tier = values.get("owner"), values.get("tier")
        if tier not in (None, *range(1, LOWEST_TIER + 1)):
            raise ConfigError(f"tier {tier!r:.20} is none of 1 to {LOWEST_TIER}.")
        return Model(values["model"], standing, *known, (values,), None if owner is None else str(owner), tier)
    if values["sha256"] != model.sha256:
        raise ConfigError(f"it is about other bytes than the model {model.name} was added with.")
    return replace(model, standing=standing, history=(*model.history, values))


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody asks the registry for.

    Attributes
    ----------
    model, to
        The model's name and its next state.
    reason
        In the person's words, or the triggers' sentences.
    figures
        Released figures on which a suspension rests.
    owner, tier
        Of a new model: who answers for its use, and its tier from 1 to `LOWEST_TIER`.
    """

    model: str
    to: State
    reason: str
    figures: dict[str, Any] | None = None
    owner: str | None = None
    tier: int | None = None


def models_of(file: RegistryFile) -> dict[str, Model]:
    """All models of a registry, in the order added.

    Raises
    ------
    LedgerError
        If the registry does not hold.
    """
    return fold(file, read_entries(file.registry))


def model_called(file: RegistryFile, name: str) -> Model:
    """One model.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    models = models_of(file)
    if name not in models:
        raise ConfigError(f"registry {file.registry} has no model {name!r}; it has: {', '.join(models) or 'none yet'}.")
    return models[name]


def record(file: RegistryFile, key: SigningKey, move: Move, now: datetime, path: Path | None = None) -> Model:
    """Sign one move and append it.

    Parameters
    ----------
    key
        The signer's; it says who that is.
    path
        Where the model lies: needed for a new one, and looked at again before one comes into use.

    Raises
    ------
    ConfigError
        If the key is nobody's, the move is not this person's or not possible, or the model's bytes have changed.
    LedgerError
        If the registry does not hold.
    """
    name = _signer(file, key)
    made: list[Model] = []

    def write(entries: tuple[Entry, ...]) -> Entry:
        models = fold(file, entries)
        values = _values(file, models.get(move.model), move, path)
        values |= {"by": name, "key": key.public.hex(), "at": now.isoformat(), "registry_file": file.digest()}
        made.append(_after(models.get(move.model), values, frozenset(file.people[name].roles)))
        return new_entry(key, values, entries[-1] if entries else None)

    append(file.registry, write)
    return made[0]


def _signer(file: RegistryFile, key: SigningKey) -> str:
    for name, person in file.people.items():
        if person.key == key.public.hex():
            if person.former_roles and not person.roles:
                raise ConfigError(f"{name} has former roles only and signs nothing any more.")
            return name
    raise ConfigError(f"the key {key.public.hex()} is nobody's in the registry file; add its person.")


def _values(file: RegistryFile, model: Model | None, move: Move, path: Path | None) -> dict[str, Any]:
    values: dict[str, Any] = {"registry": file.name}
    values |= {"model": move.model, "to": move.to.value, "reason": move.reason}
    if move.figures is not None:
        values["figures"] = move.figures
    if move.to is State.DRAFT:
        if path is None:
            raise ConfigError("a new model needs its path; name the file or folder.")
        artifact = read_artifact(path)
        values |= {name: said for name, said in (("owner", move.owner), ("tier", move.tier)) if said is not None}
        return {**values, "path": str(path.resolve()), "sha256": artifact.sha256, "lineage": artifact.lineage}
    if model is None:
        raise ConfigError(f"registry {file.registry} has no model {move.model!r}; add it first.")
    if move.to in (State.SANDBOX, State.APPROVED):
        require_unchanged(model, path)
    return {**values, "sha256": model.sha256}


def require_unchanged(model: Model, path: Path | None = None) -> None:
    """Refuse a model whose bytes are not those that were added.

    Raises
    ------
    ConfigError
        If they are not there, or are others.
    """
    place = path or Path(model.path)
    if not read_artifact(place).is_what(model.sha256, model.lineage):
        raise ConfigError(
            f"{place} is not what was added as {model.name}: its bytes have changed; add it under another name."
        )
