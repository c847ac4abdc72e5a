import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.provisioning.application import (
    Application,
    apply_to_join,
    apply_to_leave,
    apply_to_rotate,
    load_application,
    size_fault,
)
from fedcredit.roster import Member, Roster
from fedcredit.wire.envelope import SigningKey
from tests.rosters import KEYS, NODE_FILES, NODE_KEYS, OTHER_NODE_FILE, OTHER_NODE_KEY, STRANGER, roster

PINNED = roster()
NEWCOMER = Member(
    id="hospital-2",
    kind="hospital",
    region="FR",
    public_size=500,
    public_key=KEYS["hospital-2"].public.hex(),
    node_key=NODE_KEYS["hospital-2"],
)
JOIN = apply_to_join(NEWCOMER, KEYS["hospital-2"], NODE_FILES["hospital-2"])
ENTRY = PINNED.members[0]
ROTATED = ENTRY.model_copy(update={"public_key": STRANGER.public.hex(), "node_key": OTHER_NODE_KEY})
ROTATE = apply_to_rotate(ROTATED, KEYS["bank-1"], STRANGER, PINNED, OTHER_NODE_FILE)
LEAVE = apply_to_leave(ENTRY, KEYS["bank-1"], PINNED)
ALL = {"join": JOIN, "rotate": ROTATE, "leave": LEAVE}


@pytest.mark.parametrize("name", ALL)
def test_a_request_holds_and_survives_its_file(name, tmp_path):
    assert ALL[name].faults(PINNED) == []
    path = tmp_path / "a.yaml"
    path.write_bytes(ALL[name].to_yaml())
    assert load_application(path) == ALL[name]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "change",
    [
        {"id": "bank-2"},
        {"kind": "shop"},
        {"region": "US"},
        {"public_size": 401},
        {"public_key": SigningKey.generate().public.hex()},
        {"node_key": None},
        {"node_key": NODE_KEYS["bank-2"]},
    ],
    ids=["id", "kind", "region", "size", "key", "no node key", "another node key"],
)
def test_no_field_can_be_changed_after_it_was_signed(name, change):
    one = ALL[name]
    changed = one.member.model_copy(update=change)
    if changed == one.member:
        return
    assert one.model_copy(update={"member": changed}).faults(PINNED) != []


def test_one_kind_of_request_is_no_other():
    """The signature of a join, put on a rotation, and so on."""
    for one in ALL.values():
        for other in ALL.values():
            if one is not other:
                mixed = one.model_copy(update={"signature": other.signature})
                assert mixed.faults(PINNED) != []


def test_a_request_for_another_roster_is_refused():
    later = Roster.model_validate({**PINNED.model_dump(), "version": 2, "previous": PINNED.digest().hex()})
    for one in (ROTATE, LEAVE):
        assert "from another roster than this one" in one.faults(later)[0]
    assert JOIN.faults(later) == []


def test_members_join_no_second_time_and_strangers_change_nothing():
    assert "is a member already" in apply_to_join(ENTRY, KEYS["bank-1"]).faults(PINNED)[0]
    assert "is no member" in apply_to_leave(NEWCOMER, KEYS["hospital-2"], PINNED).faults(PINNED)[0]
    assert "is no member" in LEAVE.faults(None)[0]


def test_somebody_elses_signature_is_refused():
    assert "was changed after it was signed" in apply_to_join(NEWCOMER, STRANGER).faults(PINNED)[0]
    assert "was changed after it was signed" in apply_to_leave(ENTRY, STRANGER, PINNED).faults(PINNED)[0]
    assert "was changed after it was signed" in apply_to_rotate(ROTATED, STRANGER, STRANGER, PINNED).faults(PINNED)[0]


def test_a_key_that_did_not_sign_cannot_be_named():
    """Else a member could enter another one's key as its own."""
    taken = ENTRY.model_copy(update={"public_key": STRANGER.public.hex()})
    forged = apply_to_rotate(taken, KEYS["bank-1"], KEYS["bank-1"], PINNED)
    assert "did not sign with the new key" in forged.faults(PINNED)[0]


@pytest.mark.parametrize("node_key", [NODE_FILES["bank-1"], OTHER_NODE_FILE], ids=["of one curve", "of another"])
def test_a_node_key_of_somebody_else_cannot_be_named(node_key):
    """Else its owner's node would be taken for the applicant's, and the owner could not join any more."""
    forged = apply_to_join(NEWCOMER, KEYS["hospital-2"], node_key)
    assert "did not sign with the node key" in forged.faults(PINNED)[0]
    moved = apply_to_rotate(
        ENTRY.model_copy(update={"public_key": STRANGER.public.hex(), "node_key": NODE_KEYS["bank-2"]}),
        KEYS["bank-1"],
        STRANGER,
        PINNED,
        node_key,
    )
    assert "did not sign with the node key" in moved.faults(PINNED)[0]
    copied = forged.model_copy(update={"node_key_signature": ROTATE.node_key_signature})
    assert "did not sign with the node key" in copied.faults(PINNED)[0]


def test_an_application_of_an_earlier_version_names_the_remedy():
    (join,) = apply_to_join(NEWCOMER, KEYS["hospital-2"]).faults(PINNED)
    assert "'fedcredit institution init' in an empty folder" in join
    (rotate,) = apply_to_rotate(ROTATED, KEYS["bank-1"], STRANGER, PINNED).faults(PINNED)
    assert "'fedcredit institution rotate-key'" in rotate


def test_a_rotation_that_keeps_its_node_key_proves_none():
    pinned = Roster.model_validate(
        {**PINNED.model_dump(), "members": [ENTRY.model_copy(update={"node_key": NODE_KEYS["bank-1"]})]}
    )
    kept = pinned.members[0].model_copy(update={"public_key": STRANGER.public.hex()})
    assert apply_to_rotate(kept, KEYS["bank-1"], STRANGER, pinned).faults(pinned) == []


def test_a_rotation_changes_keys_only():
    larger = ROTATED.model_copy(update={"public_size": 900})
    assert "with another entry" in apply_to_rotate(larger, KEYS["bank-1"], STRANGER, PINNED).faults(PINNED)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "fedcredit-application/2"}, "format"),
        ({"signature": "00"}, "signature"),
        ({"surplus": 1}, "surplus"),
        ({"roster": "ab" * 32}, "belongs to rotate and leave"),
        ({"new_key_signature": "ab" * 64}, "belongs to rotate"),
    ],
)
def test_what_is_no_request_is_refused(tmp_path, change, words):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump({**JOIN.model_dump(mode="json", exclude_none=True), **change}))
    with pytest.raises(ConfigError, match=words):
        load_application(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_application(tmp_path / "none")


@given(st.integers(1, 10**12))
def test_the_size_that_is_proposed_is_rounded(size):
    fault = size_fault(size)
    assert (fault is None) == (len(str(size).rstrip("0")) <= 3)
    if fault is not None:
        proposed = int(fault.rsplit(" ", 1)[1].rstrip("."))
        assert size_fault(proposed) is None
        assert abs(proposed - size) <= size * 0.05


def test_the_model_is_strict():
    assert Application.model_validate(JOIN.model_dump()) == JOIN


def test_a_file_that_is_no_node_key_proves_nothing():
    with pytest.raises(ConfigError, match="is no elliptic-curve key"):
        apply_to_join(NEWCOMER, KEYS["hospital-2"], KEYS["hospital-2"].to_pem())
