"""A linked job's roster follows the base roster, and the next one undoes it."""

from datetime import date

import pytest

from fedcredit.errors import ConfigError
from fedcredit.linked.rosters import linked_rosters
from fedcredit.provisioning.roster_update import differences, succession_faults
from tests.rosters import STRANGER, roster

BASE = roster()


def test_it_lists_the_holders_of_linked_rows_in_the_base_order():
    made = linked_rosters(BASE, {"bank-2": 120, "bank-1": 50}, date(2028, 1, 1))
    assert [(one.id, one.public_size) for one in made.linked.members] == [("bank-1", 50), ("bank-2", 120)]
    assert (made.linked.version, made.linked.previous) == (2, BASE.digest().hex())
    assert made.linked.expires == date(2028, 1, 1)
    assert succession_faults(BASE, made.linked) == []


def test_the_version_after_it_is_the_base_roster_again():
    made = linked_rosters(BASE, {"bank-1": 50})
    assert succession_faults(made.linked, made.following) == []
    assert differences(BASE, made.following) == []


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"bank-7": 50}, "bank-7 is not in the base roster"),
        ({"bank-1": 50, "hospital-1": 50}, "these are of bank and hospital"),
        ({}, "these are of none"),
        ({"bank-1": 1234}, "not rounded"),
        ({"bank-1": 500}, "500 linked rows of 400 records"),
        ({"bank-1": 0}, "0 linked rows"),
    ],
)
def test_what_cannot_be_a_linked_roster_is_refused(sizes, said):
    with pytest.raises(ConfigError, match=said):
        linked_rosters(BASE, sizes)


def test_who_was_not_in_it_follows_the_chain_through_it():
    made = linked_rosters(BASE, {"bank-1": 50})
    assert "adopt the versions in between" in succession_faults(BASE, made.following)[0]
    assert succession_faults(BASE, made.following, (made.linked,)) == []


def test_a_version_in_between_may_only_drop_members():
    made = linked_rosters(BASE, {"bank-1": 50})
    foreign = made.linked.model_copy(
        update={"members": (made.linked.members[0].model_copy(update={"public_key": STRANGER.public.hex()}),)}
    )
    after = made.following.model_copy(update={"previous": foreign.digest().hex()})
    assert "bank-1 anew or with another key" in succession_faults(BASE, after, (foreign,))[0]
    assert "does not follow the pinned one" in succession_faults(made.linked, made.following, (made.linked,))[0]
    assert "does not follow the pinned one" in succession_faults(None, made.following, (made.linked,))[0]
