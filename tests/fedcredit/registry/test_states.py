"""Who may move a model where: the whole table, and separation of duty."""

import itertools

import pytest

from fedcredit.errors import ConfigError
from fedcredit.registry.states import Standing, State, moved

ROLES = ("developer", "validator", "approver")
# From, to → the role that is needed; "" is anybody in the registry.
ALLOWED = {
    ("draft", "sandbox"): "validator",
    ("draft", "retired"): "approver",
    ("sandbox", "approved"): "approver",
    ("sandbox", "suspended"): "",
    ("sandbox", "retired"): "approver",
    ("approved", "suspended"): "",
    ("approved", "retired"): "approver",
    ("suspended", "approved"): "approver",
    ("suspended", "retired"): "approver",
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_only_these_moves_exist_and_each_needs_its_role(before, after):
    standing = Standing(before, "dora", "vera")
    for role in ROLES:
        needed = ALLOWED.get((before.value, after.value))
        if needed in ("", role):
            assert moved(standing, after, "someone", frozenset({role})).state is after
        else:
            with pytest.raises(ConfigError):
                moved(standing, after, "someone", frozenset({role}))


def test_a_model_begins_as_a_developers_draft():
    assert moved(None, State.DRAFT, "dora", frozenset({"developer"})) == Standing(State.DRAFT, "dora")
    with pytest.raises(ConfigError, match="no developer"):
        moved(None, State.DRAFT, "vera", frozenset({"validator"}))
    with pytest.raises(ConfigError, match="add it"):
        moved(None, State.APPROVED, "abel", frozenset({"approver"}))


@pytest.mark.parametrize("after", ["sandbox", "approved"])
def test_a_developer_cannot_bring_an_own_model_into_use_whatever_the_roles(after):
    before = {"sandbox": "draft", "approved": "sandbox"}[after]
    with pytest.raises(ConfigError, match="somebody else"):
        moved(Standing(State(before), "dora", "vera"), State(after), "dora", frozenset(ROLES))
    assert (
        moved(Standing(State.APPROVED, "dora", "vera"), State.SUSPENDED, "dora", frozenset()).state is State.SUSPENDED
    )
    with pytest.raises(ConfigError, match="somebody else"):
        moved(Standing(State.SUSPENDED, "dora", "vera"), State.APPROVED, "dora", frozenset(ROLES))


def test_what_no_validator_saw_is_never_approved():
    with pytest.raises(ConfigError, match="no validator"):
        moved(Standing(State.SUSPENDED, "dora"), State.APPROVED, "abel", frozenset({"approver"}))
