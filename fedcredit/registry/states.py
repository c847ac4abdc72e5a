"""The states of a model and who may move it: pure functions, the same for a new entry and for a proof of old ones.

``draft → sandbox → approved → suspended → retired``: a developer adds a model, a validator who is somebody else lets it
into the sandbox, an approver who is not its developer approves it. Whatever takes a model out of use is easier: anybody
in the registry may suspend, and a threshold does it by itself. Back into use only an approver brings it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from fedcredit.errors import ConfigError


class State(StrEnum):
    """Where a model stands."""

    DRAFT = "draft"
    SANDBOX = "sandbox"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    RETIRED = "retired"


FROM = {
    State.SANDBOX: (State.DRAFT,),
    State.APPROVED: (State.SANDBOX, State.SUSPENDED),
    State.SUSPENDED: (State.SANDBOX, State.APPROVED),
    State.RETIRED: (State.DRAFT, State.SANDBOX, State.APPROVED, State.SUSPENDED),
}
"""Per state those from which it can be reached; a draft is where a model begins."""

NEEDS = {State.DRAFT: "developer", State.SANDBOX: "validator", State.APPROVED: "approver", State.RETIRED: "approver"}
"""Per state the role of whoever moves a model there; anybody in the registry may suspend."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model stands after some entries.

    Attributes
    ----------
    state
        Now.
    developer, validator
        Who added it, and who let it into the sandbox; empty before.
    """

    state: State
    developer: str
    validator: str = ""


def moved(standing: Standing | None, to: State, by: str, roles: frozenset[str]) -> Standing:
    """Where a model stands after one move.

    Parameters
    ----------
    standing
        Before; None for a model that is not in the registry.
    by, roles
        Who moves it, and what that person may do.

    Raises
    ------
    ConfigError
        If the move is none from there, or not this person's.
    """
    needed = NEEDS.get(to)
    if needed is not None and needed not in roles:
        raise ConfigError(f"{by} is no {needed}, whom a model needs to become {to.value}.")
    if standing is None:
        if to is not State.DRAFT:
            raise ConfigError(f"the model is not in the registry and cannot become {to.value}; add it.")
        return Standing(State.DRAFT, by)
    if standing.state not in FROM.get(to, ()):
        raise ConfigError(f"a model that is {standing.state.value} cannot become {to.value}.")
    if to in (State.SANDBOX, State.APPROVED) and by == standing.developer:
        raise ConfigError(f"{by} developed the model; somebody else has to say that it may be {to.value}.")
    if to is State.APPROVED and not standing.validator:
        raise ConfigError("no validator let the model into the sandbox; it cannot be approved.")
    return replace(standing, state=to, validator=by if to is State.SANDBOX else standing.validator)
