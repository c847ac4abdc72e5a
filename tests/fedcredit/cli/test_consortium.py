"""``fedcredit consortium``: the operator's side, from the first file to the next roster."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedcredit.data.uci import uci_dictionary
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.provisioning.application import Application, apply_to_join, apply_to_leave
from fedcredit.provisioning.certificates import make_authority, make_server_certificate
from fedcredit.provisioning.invitation import read_invitation
from fedcredit.roster import Member
from fedcredit.roster_file import SignedRoster, load_roster, read_roster_file, sign_roster, write_roster_file
from server.coordinator_file import load_coordinator_file
from tests import tiny
from tests.rosters import KEYS


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words), ran.err


def found(cli, folder, *options):
    return cli("consortium", "init", folder, "--host", "consortium.example", *options)


@pytest.fixture
def dictionary(folder) -> Path:
    path = folder / "own.yaml"
    path.write_bytes(tiny.DICTIONARY)
    return path


# --- init


def test_one_command_writes_what_a_coordinator_needs(cli, folder, dictionary):
    ran = found(
        cli, folder / "c", "--dictionary", dictionary, "--region", "DE", "--port", "9444", "--bundle", "ab" * 32
    )
    assert (ran.code, ran.err) == (0, "")
    invitation = read_invitation(folder / "c" / "invitation")
    assert invitation.letter.superlink == "consortium.example:9444"
    assert invitation.letter.bundles == ("ab" * 32,)
    assert load_coordinator_file(folder / "c" / "COORDINATOR.yaml").fleet.port == 9444
    assert f"over a second channel: {invitation.digest().hex()}" in ran.out
    assert f"public key {invitation.letter.coordinator_key}" in ran.out


def test_the_packaged_example_is_written(cli, folder):
    assert found(cli, folder / "c", "--example", "uci", "--name", "north").code == 0
    assert load_dictionary(folder / "c" / "dictionary.yaml").digest() == uci_dictionary().digest()
    assert read_invitation(folder / "c" / "invitation").letter.coordinator == "north"


def test_nothing_is_overwritten(cli, folder):
    assert found(cli, folder / "c", "--example", "uci").code == 0
    before = {path: path.read_bytes() for path in (folder / "c").rglob("*") if path.is_file()}
    one_sentence(found(cli, folder / "c", "--example", "uci"), "nothing is overwritten")
    assert {path: path.read_bytes() for path in (folder / "c").rglob("*") if path.is_file()} == before


def test_ones_own_certificate_is_taken_or_refused_as_a_whole(cli, folder):
    now = datetime.now(UTC)
    own = make_server_certificate(make_authority("own", now), ("consortium.example",), now)
    files = {"--certificate": own.certificate, "--certificate-key": own.key, "--ca": own.ca}
    for option, content in files.items():
        (folder / option.strip("-")).write_bytes(content)
    options = [part for option in files for part in (option, folder / option.strip("-"))]
    assert found(cli, folder / "c", "--example", "uci", *options).code == 0
    assert (folder / "c" / "tls" / "server.pem").read_bytes() == own.certificate
    assert not (folder / "c" / "tls" / "ca.key").exists()
    one_sentence(found(cli, folder / "d", "--example", "uci", *options[:4]), "belong together")
    swapped = [*options[:3], folder / "ca", *options[4:]]
    one_sentence(found(cli, folder / "d", "--example", "uci", *swapped), "PEM key")
    assert not (folder / "d").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give --dictionary FILE, or --example uci"),
        (("--example", "other"), "there is: uci"),
        (("--dictionary", "/nowhere/d.yaml"), "cannot be read"),
        (("--example", "uci", "--dictionary", "/nowhere/d.yaml"), "one data dictionary"),
        (("--example", "uci", "--bundle", "xyz"), "bundles"),
        (("--example", "uci", "--name", "North"), "coordinator"),
        (("--example", "uci", "--host", "https://consortium.example"), "superlink"),
        (("--example", "uci", "--host", "bücher.example"), "superlink"),
    ],
)
def test_what_cannot_be_is_one_sentence(cli, folder, options, words):
    one_sentence(found(cli, folder / "c", *options), words)
    assert not (folder / "c").exists()


# --- enroll and adopt


def application(folder: Path, name: str) -> Path:
    member = Member(
        id=name, kind=name.split("-", maxsplit=1)[0], region="DE", public_size=400, public_key=KEYS[name].public.hex()
    )
    return written(folder / f"{name}.application.yaml", apply_to_join(member, KEYS[name]))


def written(path: Path, one: Application) -> Path:
    path.write_bytes(one.to_yaml())
    return path


def sign(path: Path) -> None:
    new = read_roster_file(path).roster
    write_roster_file(path, SignedRoster(new, {one.id: sign_roster(new, KEYS[one.id]) for one in new.members}))


def test_applications_become_version_1_and_then_the_next(cli, folder):
    roster = folder / "roster.yaml"
    ran = cli("consortium", "enroll", roster, *(application(folder, name) for name in ("bank-1", "bank-2")))
    assert ran.code == 0, ran.err
    assert "bank-2 joins: bank in DE, 400 records" in ran.out
    assert re.search(r"version 1, 2 members, hash [0-9a-f]{64}", ran.out)
    late = application(folder, "hospital-1")
    one_sentence(cli("consortium", "enroll", roster, late), "is not signed by bank-1, bank-2", "enrol everybody anew")
    sign(roster)
    pinned = load_roster(roster)
    leaving = written(folder / "leave.yaml", apply_to_leave(pinned.members[0], KEYS["bank-1"], pinned))
    ran = cli("consortium", "enroll", roster, late, leaving, "--expires", "2999-12-31")
    assert "bank-1 leaves" in ran.out
    new = folder / "roster-v2.yaml"
    assert [one.id for one in read_roster_file(new).roster.members] == ["bank-2", "hospital-1"]
    assert load_roster(roster) == pinned
    one_sentence(cli("consortium", "enroll", roster, late), "nothing is overwritten")
    one_sentence(cli("consortium", "adopt", roster, new), "is not signed by bank-2, hospital-1")
    sign(new)
    assert cli("consortium", "adopt", roster, new).code == 0
    assert load_roster(roster).version == 2
    (folder / "old.yaml").write_bytes(SignedRoster(pinned, {}).to_yaml())
    sign(folder / "old.yaml")
    one_sentence(cli("consortium", "adopt", roster, folder / "old.yaml"), "version 1 is not above 2")


def test_the_first_version_comes_back_signed_and_takes_the_unsigned_one_s_place(cli, folder):
    roster, back = folder / "roster.yaml", folder / "back.yaml"
    applications = [application(folder, name) for name in ("bank-1", "bank-2")]
    ran = cli("consortium", "enroll", roster, *applications)
    assert f"signed by all: fedcredit consortium adopt {roster}" in ran.out
    back.write_bytes(roster.read_bytes())
    one_sentence(cli("consortium", "adopt", roster, back), "is not signed by bank-1, bank-2")
    sign(back)
    assert cli("consortium", "adopt", roster, back).code == 0
    assert load_roster(roster) == load_roster(back)


def test_a_first_version_of_other_members_does_not_take_the_unsigned_one_s_place(cli, folder):
    roster, other = folder / "roster.yaml", folder / "other.yaml"
    cli("consortium", "enroll", roster, application(folder, "bank-1"))
    cli("consortium", "enroll", other, application(folder, "bank-2"))
    sign(other)
    one_sentence(cli("consortium", "adopt", roster, other), "is not signed by bank-1")


def test_without_an_application_the_day_is_renewed(cli, folder):
    roster = folder / "roster.yaml"
    one_sentence(cli("consortium", "enroll", roster), "needs an application")
    assert cli("consortium", "enroll", roster, application(folder, "bank-1"), "--expires", "2998-12-31").code == 0
    sign(roster)
    assert "until now of 2998-12-31" in cli("consortium", "enroll", roster, "--expires", "2999-12-31").out


@pytest.mark.parametrize(("day", "words"), [("31.12.2999", "as YYYY-MM-DD"), ("2001-01-01", "give a later --expires")])
def test_a_day_that_is_none_is_refused(cli, folder, day, words):
    ran = cli("consortium", "enroll", folder / "roster.yaml", application(folder, "bank-1"), "--expires", day)
    one_sentence(ran, words)
    assert not (folder / "roster.yaml").exists()


def test_a_changed_application_is_refused(cli, folder):
    path = application(folder, "bank-1")
    path.write_text(path.read_text().replace("400", "900"))
    one_sentence(cli("consortium", "enroll", folder / "roster.yaml", path), "was changed after it was signed")
