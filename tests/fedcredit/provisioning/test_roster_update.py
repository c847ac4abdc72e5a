from datetime import date, timedelta

import pytest

from fedcredit.errors import ConfigError
from fedcredit.provisioning.application import apply_to_join, apply_to_leave, apply_to_rotate
from fedcredit.provisioning.roster_update import differences, next_roster, succession_faults
from fedcredit.roster import Member
from fedcredit.roster_file import SignedRoster
from fedcredit.wire.envelope import SigningKey
from tests.rosters import KEYS, NODE_FILES, NODE_KEYS, STRANGER, roster, signed

TODAY = date(2026, 5, 4)
EXPIRES = date(2027, 5, 4)
PINNED = roster()


def member(name: str, **changes: object) -> Member:
    values = {
        "id": name,
        "kind": name.split("-", maxsplit=1)[0],
        "region": "DE",
        "public_size": 400,
        "public_key": KEYS[name].public.hex(),
        "node_key": NODE_KEYS[name],
    }
    return Member.model_validate({**values, **changes})


def joins(name: str, **changes: object):
    return apply_to_join(member(name, **changes), KEYS[name], NODE_FILES[name])


def test_version_1_holds_the_applicants_in_order():
    made = next_roster(None, [joins("hospital-1"), joins("bank-1")], EXPIRES, TODAY)
    assert (made.version, made.previous, made.expires) == (1, None, EXPIRES)
    assert made.members == (member("hospital-1"), member("bank-1"))


def test_a_version_is_chained_and_folds_every_change():
    rotated = PINNED.members[0].model_copy(update={"public_key": STRANGER.public.hex()})
    changes = [
        joins("hospital-2"),
        apply_to_rotate(rotated, KEYS["bank-1"], STRANGER, PINNED),
        apply_to_leave(PINNED.members[1], KEYS["bank-2"], PINNED),
    ]
    made = next_roster(signed(PINNED), changes, EXPIRES, TODAY)
    assert (made.version, made.previous) == (2, PINNED.digest().hex())
    assert made.members == (rotated, PINNED.members[2], member("hospital-2"))
    assert succession_faults(PINNED, made) == []
    own, node = KEYS["hospital-2"].public.hex()[:16], NODE_KEYS["hospital-2"][-16:]
    assert differences(PINNED, made) == [
        f"hospital-2 joins: hospital in DE, 400 records, key {own}…, node key …{node}",
        "bank-2 leaves",
        f"bank-1: key {STRANGER.public.hex()[:16]}…, until now {KEYS['bank-1'].public.hex()[:16]}…",
        "valid to the end of 2027-05-04, until now of 2030-06-30",
    ]


def test_no_change_renews_the_day():
    made = next_roster(signed(PINNED), [], EXPIRES, TODAY)
    assert made.members == PINNED.members
    assert differences(PINNED, made) == ["valid to the end of 2027-05-04, until now of 2030-06-30"]


def test_every_change_of_an_entry_is_shown():
    old = roster()
    changes = {"kind": "shop", "region": "FR", "public_size": 900, "node_key": NODE_KEYS["bank-1"]}
    new = old.model_copy(update={"members": (old.members[0].model_copy(update=changes), *old.members[1:])})
    assert differences(old, new) == [
        f"bank-1: node key …{NODE_KEYS['bank-1'][-16:]}, until now …none",
        "bank-1: kind shop, until now bank",
        "bank-1: region FR, until now unspecified",
        "bank-1: public size 900, until now 400",
    ]


@pytest.mark.parametrize(
    ("pinned", "applications", "expires", "words"),
    [
        (None, [joins("bank-1"), joins("bank-1")], EXPIRES, "two applications are bank-1's"),
        (None, [joins("bank-1")], TODAY, "give a later --expires"),
        (None, [joins("bank-1", public_size=40_123)], EXPIRES, "size 40123 is not rounded"),
        (SignedRoster(PINNED, {}), [joins("hospital-2")], EXPIRES, "is not signed by bank-1, bank-2, hospital-1"),
        (signed(PINNED), [joins("bank-1")], EXPIRES, "is a member already"),
        (signed(PINNED), [joins("hospital-2", public_key=KEYS["bank-1"].public.hex())], EXPIRES, "not its own"),
    ],
)
def test_what_does_not_hold_is_not_folded(pinned, applications, expires, words):
    with pytest.raises(ConfigError, match=words):
        next_roster(pinned, applications, expires, TODAY)


def test_two_members_with_one_key_are_refused():
    entry = member("hospital-2", public_key=KEYS["bank-1"].public.hex())
    twin = apply_to_join(entry, KEYS["bank-1"], NODE_FILES["hospital-2"])
    with pytest.raises(ConfigError, match=r"lists the public key .* twice"):
        next_roster(signed(PINNED), [twin], EXPIRES, TODAY)


def test_all_faults_are_listed_at_once():
    with pytest.raises(ConfigError) as refused:
        next_roster(signed(PINNED), [joins("bank-1"), joins("bank-2")], TODAY - timedelta(1), TODAY)
    assert str(refused.value).count("\n- ") == 3


def test_a_roster_of_nobody_is_refused():
    alone = roster("bank-1")
    with pytest.raises(ConfigError, match="members"):
        next_roster(signed(alone), [apply_to_leave(alone.members[0], KEYS["bank-1"], alone)], EXPIRES, TODAY)


def test_only_the_next_version_of_the_pinned_roster_takes_its_place():
    second = roster(version=2, previous=PINNED.digest().hex())
    assert succession_faults(None, second) == []
    assert succession_faults(PINNED, PINNED) == []
    assert succession_faults(PINNED, second) == []
    assert "version 1 is not above 2" in succession_faults(second, PINNED)[0]
    assert "version 1 is not above 1" in succession_faults(PINNED, roster("bank-1"))[0]
    assert "adopt the versions in between" in succession_faults(PINNED, roster(version=3, previous="ab" * 32))[0]


def test_a_stranger_cannot_rotate_for_a_member():
    taken = PINNED.members[0].model_copy(update={"public_key": STRANGER.public.hex()})
    forged = apply_to_rotate(taken, SigningKey.generate(), STRANGER, PINNED)
    with pytest.raises(ConfigError, match="not its own"):
        next_roster(signed(PINNED), [forged], EXPIRES, TODAY)
