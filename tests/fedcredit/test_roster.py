"""The roster: one chain of versions, a last day, and a hash over every field."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.roster import Roster
from fedcredit.wire.canonical import canonical_json, parse_json
from tests import rosters as make

HASH = "ab" * 32
# One other value for each field of a roster and of its first member.
OTHER = {"version": 3, "previous": "cd" * 32, "expires": "2030-07-01"}
OTHER_MEMBER = {
    "id": "bank-9",
    "kind": "shop",
    "region": "north",
    "public_size": 401,
    "public_key": make.STRANGER.public.hex(),
    "node_key": make.OTHER_NODE_KEY,
}


def test_the_hash_is_pinned():
    """Every signature in the field is over this: a change needs a new wire version."""
    assert make.roster().digest().hex() == "05a21d5132a3eceee6e92ab20395a68529b1ecd5d57e7ed968579f80df183153"


def test_the_samples_change_every_field():
    second = make.roster(version=2, previous=HASH)
    assert set(OTHER) | {"members"} == set(second.model_dump())
    assert set(OTHER_MEMBER) == set(type(second.members[0]).model_fields)


@pytest.mark.parametrize("field", OTHER)
def test_the_hash_covers_every_field(field):
    second = make.roster(version=2, previous=HASH)
    changed = make.roster(**{"version": 2, "previous": HASH, field: OTHER[field]})
    assert changed.digest() != second.digest()


@pytest.mark.parametrize("field", OTHER_MEMBER)
def test_the_hash_covers_every_field_of_a_member(field):
    first = make.roster()
    members = [member.model_dump() for member in first.members]
    members[0][field] = OTHER_MEMBER[field]
    assert make.roster(members=members).digest() != first.digest()


@given(make.neighbours())
def test_one_changed_field_is_another_hash(pair):
    one, other = pair
    assert one != other
    assert one.digest() != other.digest()


@given(make.rosters(), st.randoms())
def test_the_hash_covers_the_order_of_the_members(one, random):
    members = list(one.members)
    random.shuffle(members)
    shuffled = one.model_copy(update={"members": tuple(members)})
    assert (shuffled.digest() == one.digest()) == (shuffled.members == one.members)


@given(make.rosters())
def test_a_roster_survives_canonical_json(one):
    """A plan embeds the roster and is refused unless its bytes come out the same."""
    data = canonical_json(one.model_dump(mode="json"))
    again = Roster.model_validate(parse_json(data))
    assert again == one
    assert canonical_json(again.model_dump(mode="json")) == data


@given(st.dates(), st.dates())
def test_the_last_day_is_a_day_on_which_it_holds(last, today):
    assert make.roster(expires=last).expired(today) == ((today - last) > timedelta(0))


def test_a_roster_without_end_never_expires():
    assert not make.roster(expires=date.max).expired(date.max)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "must name it; give previous"),
        ({"previous": HASH}, "remove previous, or raise the version"),
        ({"version": 0}, "greater than or equal to 1"),
        ({"version": 2, "previous": HASH[1:]}, "should match pattern"),
        ({"version": 2, "previous": HASH.upper()}, "should match pattern"),
        ({"members": []}, "at least 1 item"),
        ({"members": [*make.roster().members, make.roster().members[0]]}, "lists the id 'bank-1' twice"),
        ({"signatures": {}}, "not permitted"),
        ({"expires": None}, "None is not a day"),
        ({"expires": 20301231}, "20301231 is not a day; write it as YYYY-MM-DD"),
        ({"expires": "20301231"}, "is not a day"),
        ({"expires": "2030-12-31T00:00:00"}, "is not a day"),
        ({"expires": datetime(2030, 12, 31)}, "is not a day"),  # noqa: DTZ001  (what YAML reads)
        ({"expires": "2030-02-30"}, "valid date"),
    ],
)
def test_what_is_no_roster(changes, words):
    with pytest.raises(ValueError, match=words):
        make.roster(**changes)


@pytest.mark.parametrize("field", ["public_key", "node_key"])
def test_one_key_for_two_members_is_refused(field):
    members = [{**member.model_dump(), "node_key": make.NODE_KEYS[member.id]} for member in make.roster().members]
    make.roster(members=members)
    members[1][field] = members[0][field]
    with pytest.raises(ValueError, match=f"lists the {field.replace('_', ' ')}"):
        make.roster(members=members)


def test_a_node_key_that_is_not_given_is_no_part_of_the_roster():
    """Rosters that were signed before there were node keys keep their bytes, and one spelling stays one roster."""
    plain = make.roster().members[0]
    assert "node_key" not in plain.model_dump(mode="json")
    members = [{**member.model_dump(), "node_key": None} for member in make.roster().members]
    assert make.roster(members=members).digest() == make.roster().digest()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ecdsa-sha2-nistp384",
        f"{make.OTHER_NODE_KEY} node@bank",
        f" {make.OTHER_NODE_KEY}",
        f"{make.OTHER_NODE_KEY}\n",
        make.OTHER_NODE_KEY.replace("nistp256", "nistp384"),
        make.OTHER_NODE_KEY[:-4],
        f"{make.OTHER_NODE_KEY} {'x' * 10_000}",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        pytest.param(make.STRANGER.public.hex(), id="an identity key"),
    ],
)
def test_what_is_no_node_key(key):
    members = [{**make.roster().members[0].model_dump(), "node_key": key}]
    with pytest.raises(ValueError, match="is not a node key; give the first two words"):
        make.roster(members=members)


@pytest.mark.parametrize(
    ("field", "value"),
    [("region", "a\nb"), ("region", "\x1b[2J"), ("region", "\u202eknab"), ("region", ""), ("kind", "\x1b[2J")],
)
def test_a_member_shows_as_what_it_is_on_a_console(field, value):
    members = [member.model_dump() for member in make.roster().members]
    members[0][field] = value
    with pytest.raises(ValueError, match="should match pattern"):
        make.roster(members=members)
