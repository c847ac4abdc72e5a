"""A roster file is pinned only with the signature of every member, and of nobody else."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError
from fedcredit.roster_file import (
    SignedRoster,
    load_roster,
    read_roster_file,
    sign_roster,
    signature_bytes,
    write_roster_file,
)
from tests import rosters as make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "roster.yaml"


def refusal(path, **changed):
    """Why a file with these signatures changed, or taken out, is refused."""
    signed = make.signed(make.roster())
    kept = {name: one for name, one in {**signed.signatures, **changed}.items() if one is not None}
    write_roster_file(path, replace(signed, signatures=kept))
    with pytest.raises(ConfigError) as caught:
        load_roster(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@given(make.rosters())
def test_a_signed_roster_survives_its_file(tmp_path_factory, one):
    path = tmp_path_factory.getbasetemp() / "survives.yaml"
    signed = make.signed(one)
    write_roster_file(path, signed)
    assert load_roster(path) == one
    again = read_roster_file(path)
    assert again == signed
    assert again.to_yaml() == path.read_bytes()


def test_the_file_is_one_whatever_the_order_of_signing():
    one = make.roster()
    forwards, backwards = SignedRoster(one, {}), SignedRoster(one, {})
    for name in ("bank-1", "bank-2", "hospital-1"):
        forwards = forwards.signed_with(name, make.KEYS[name])
    for name in ("hospital-1", "bank-2", "bank-1"):
        backwards = backwards.signed_with(name, make.KEYS[name])
    assert forwards.to_yaml() == backwards.to_yaml() == make.signed(one).to_yaml()


@given(make.neighbours())
def test_a_signature_holds_for_one_roster_only(pair):
    one, other = pair
    signed, moved = make.signed(one), SignedRoster(other, make.signed(one).signatures)
    assert [signed.holds(name) for name in make.KEYS] == [one.member(name) is not None for name in make.KEYS]
    assert not any(moved.holds(name) for name in make.KEYS)
    assert signed.faults() == []
    assert moved.faults() != []


@given(st.integers(0, 511))
def test_a_signature_with_one_other_bit_does_not_hold(bit):
    signed = make.signed(make.roster())
    flipped = (int.from_bytes(signed.signatures["bank-2"], "big") ^ (1 << bit)).to_bytes(64, "big")
    spoilt = replace(signed, signatures={**signed.signatures, "bank-2": flipped})
    assert not spoilt.holds("bank-2")
    assert spoilt.holds("bank-1")
    assert spoilt.broken() == ("bank-2",)


def test_a_signature_is_over_the_hash_behind_a_tag_of_its_own():
    one = make.roster()
    assert signature_bytes(one).endswith(one.digest())
    assert b"roster-signature" in signature_bytes(one)
    bare = SignedRoster(one, {"bank-1": make.KEYS["bank-1"].sign(one.digest())})
    assert not bare.holds("bank-1")


@pytest.mark.parametrize("name", ["bank-1", "bank-2", "hospital-1"])
def test_a_missing_signature_is_named(path, name):
    found = refusal(path, **{name: None})
    assert f"is not signed by {name}; each runs: fedcredit institution approve" in found
    assert "does not hold" not in found


def test_all_missing_signatures_are_named(path):
    found = refusal(path, **dict.fromkeys(("bank-1", "bank-2", "hospital-1")))
    assert "is not signed by bank-1, bank-2, hospital-1" in found


@pytest.mark.parametrize("name", ["bank-1", "bank-2", "hospital-1"])
def test_a_signature_by_another_key_is_named(path, name):
    others = [make.STRANGER, *(key for one, key in make.KEYS.items() if one != name)]
    for key in others:
        found = refusal(path, **{name: sign_roster(make.roster(), key)})
        assert f"the signature of {name} does not hold" in found
        assert "not signed by" not in found


def test_a_foreign_signature_is_named(path):
    one = make.roster()
    found = refusal(path, **{"hospital-2": sign_roster(one, make.KEYS["hospital-2"])})
    assert "a signature of hospital-2, who is no member of it; remove the signature" in found
    assert "does not hold" not in found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 2", "version: 3"),
        (f"previous: {'ab' * 32}", f"previous: {'ac' * 32}"),
        ("2030-06-30", "2031-06-30"),
        ("public_size: 400", "public_size: 500"),
        ("region: unspecified", "region: north"),
        ("kind: hospital", "kind: bank"),
        ("id: hospital-1", "id: hospital-2"),
        pytest.param(make.KEYS["bank-1"].public.hex(), make.STRANGER.public.hex(), id="a stranger's key"),
    ],
)
def test_a_changed_field_is_seen(path, before, after):
    write_roster_file(path, make.signed(make.roster(version=2, previous="ab" * 32)))
    load_roster(path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match="was changed after it was signed"):
        load_roster(path)


def test_a_roster_that_is_still_being_signed_can_be_read(path):
    one = make.roster()
    path.write_text(yaml.safe_dump(one.model_dump(mode="json")))
    assert read_roster_file(path) == SignedRoster(one, {})
    with pytest.raises(ConfigError, match="is not signed by bank-1, bank-2, hospital-1"):
        load_roster(path)


def test_signing_leaves_out_what_does_not_hold():
    old, new = make.roster("bank-1", "bank-2"), make.roster("bank-2", "hospital-1")
    signatures = {**make.signed(old).signatures, "hospital-1": sign_roster(new, make.KEYS["hospital-1"])}
    again = SignedRoster(new, signatures).signed_with("bank-2", make.KEYS["bank-2"])
    assert again == make.signed(new)


def test_a_node_key_stands_on_one_line(path):
    """So that it can be compared with the node's .pub file by eye."""
    members = [{**make.roster("bank-1").members[0].model_dump(), "node_key": make.NODE_KEYS["bank-1"]}]
    one = make.roster(members=members)
    write_roster_file(path, make.signed(one))
    assert load_roster(path) == one
    assert f"  node_key: {make.NODE_KEYS['bank-1']}\n" in path.read_text()


def test_a_day_may_be_written_without_quotes(path):
    write_roster_file(path, make.signed(make.roster()))
    assert "'2030-06-30'" in path.read_text()
    path.write_text(path.read_text().replace("'2030-06-30'", "2030-06-30"))
    assert load_roster(path) == make.roster()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "must name it"),
        ({"colour": "red"}, "colour: is not a known key"),
        ({"expires": None}, "expires: None is not a day"),
        ({"expires": ...}, "expires: is missing; add it"),
        ({"signatures": None}, "signatures: is blank"),
        ({"signatures": {"bank-1": "ab"}}, "signatures · bank-1"),
        ({"signatures": {"Bank 1": "ab" * 64}}, "signatures · Bank 1"),
    ],
)
def test_what_is_no_roster_file(path, changes, words):
    document = {**yaml.safe_load(make.signed(make.roster()).to_yaml()), **changes}
    path.write_text(yaml.safe_dump({name: value for name, value in document.items() if value is not ...}))
    for read in (load_roster, read_roster_file):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert words in str(caught.value)


def test_a_missing_file(path):
    with pytest.raises(ConfigError, match="ask the consortium's operator"):
        load_roster(path)


def test_writing_keeps_the_mode_and_leaves_nothing_behind(path):
    write_roster_file(path, make.signed(make.roster()))
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o640)
    write_roster_file(path, make.signed(make.roster("bank-1")))
    assert path.stat().st_mode & 0o777 == 0o640
    assert load_roster(path) == make.roster("bank-1")
    assert list(path.parent.iterdir()) == [path]


def test_writing_follows_a_link(path, tmp_path):
    (tmp_path / "kept").mkdir()
    target = tmp_path / "kept" / "r.yaml"
    write_roster_file(target, make.signed(make.roster("bank-1")))
    path.symlink_to(target)
    write_roster_file(path, make.signed(make.roster()))
    assert path.is_symlink()
    assert load_roster(target) == make.roster()


@pytest.mark.parametrize("place", ["none/roster.yaml", "folder"])
def test_what_cannot_be_written(tmp_path, place):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_roster_file(tmp_path / place, make.signed(make.roster()))
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_file_whose_aliases_unfold_to_more_than_any_memory_is_refused_at_once(path):
    """Nine references to nine references to …: under a kilobyte, and 9^12 items if it were ever written out."""
    levels = [f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb = "\n".join(["previous:", "  - &l0 [x, x, x, x, x, x, x, x, x]", *levels])
    path.write_text(f"version: 2\n{bomb}\nexpires: 2030-01-01\nmembers: []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="aliases repeat too much"):
        load_roster(path)
