"""What `institution init` writes must be what custodian, node and coordinator read."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.custodian.site_file import load_site_file
from fedcredit.errors import ConfigError, DictionaryError
from fedcredit.key_files import load_data_key
from fedcredit.node_file import load_node_file
from fedcredit.provisioning.application import load_application
from fedcredit.provisioning.check_site import load_node_key
from fedcredit.provisioning.institution import InstitutionRequest, make_node_key, new_institution
from fedcredit.provisioning.invitation import Invitation, read_invitation
from fedcredit.provisioning.new_files import write_new
from fedcredit.wire.envelope import SigningKey


@pytest.fixture
def invitation(coordinator) -> Invitation:
    return read_invitation(coordinator / "invitation")


@pytest.fixture
def wanted(kit) -> InstitutionRequest:
    return InstitutionRequest("bank-a", "bank", "DE", 6000, kit)


@pytest.mark.parametrize("kind", ["bank", "hospital"])
def test_every_file_is_read_by_whom_it_is_for(folder, wanted, invitation, kind):
    own = folder / "own"
    made = new_institution(replace(wanted, id=f"{kind}-a", kind=kind), invitation)
    write_new(own, made.files)
    site, node = load_site_file(own / "SITE.yaml"), load_node_file(own / "NODE.yaml")
    assert (site.institution, site.kind, site.population) == (f"{kind}-a", kind, f"{kind}-a-records")
    assert site.coordinators == {"coordinator": invitation.letter.coordinator_key}
    assert site.dictionary.read_bytes() == invitation.dictionary
    assert (node.superlink, node.bundles) == ("127.0.0.1:9443", ("ab" * 32,))
    assert node.root_certificates.read_bytes() == invitation.ca
    assert Path(node.custodian) == site.socket
    assert node.relay_token == site.relay_token
    load_policy(site.policy)
    load_data_key(site.data_key)
    load_relay_token(site.relay_token)
    application = load_application(own / f"{kind}-a.application.yaml")
    assert application.faults(None) == []
    member = application.member
    assert (member.id, member.kind, member.region, member.public_size) == (f"{kind}-a", kind, "DE", 6000)
    assert member.public_key == SigningKey.load(site.identity_key).public.hex()
    assert member.node_key == load_node_key(node.node_key)


def test_the_comments_of_the_kit_stay(wanted, invitation, kit):
    made = new_institution(wanted, invitation)
    for name in ("SITE.yaml", "NODE.yaml"):
        template = (kit / "clients" / "bank" / name).read_text(encoding="utf-8")
        written = made.files[name].content.decode()
        comments = [line for line in template.splitlines() if line.startswith("#") and ":" not in line]
        assert comments
        assert set(comments) <= set(written.splitlines())
        assert "<" not in "".join(line.split("#")[0] for line in written.splitlines())


def test_secrets_are_for_their_owner_and_nowhere_else(folder, wanted, invitation):
    made = new_institution(wanted, invitation)
    write_new(folder / "own", made.files)
    secret = {name for name, file in made.files.items() if file.mode == 0o600}
    assert secret == {"keys/identity.pem", "keys/data.key", "keys/relay.token", "keys/node"}
    for path in (folder / "own").rglob("*"):
        assert path.stat().st_mode & 0o022 == 0
    public = b"".join(file.content for name, file in made.files.items() if name not in secret)
    assert b"PRIVATE KEY" not in public
    for name in ("keys/data.key", "keys/relay.token"):
        assert made.files[name].content.strip() not in public


def test_two_institutions_share_no_secret(wanted, invitation):
    first, second = (new_institution(wanted, invitation) for _ in range(2))
    for name in ("keys/identity.pem", "keys/data.key", "keys/relay.token", "keys/node"):
        assert first.files[name].content != second.files[name].content


def test_the_table_can_be_named(folder, wanted, invitation):
    write_new(folder / "own", new_institution(replace(wanted, data=Path("rows.csv")), invitation).files)
    data = load_site_file(folder / "own" / "SITE.yaml").data
    assert (data.kind, data.path) == ("csv", folder / "own" / "rows.csv")


def test_another_coordinators_name_is_written(wanted, invitation):
    letter = invitation.letter.model_copy(update={"coordinator": "consortium-north"})
    made = new_institution(wanted, replace(invitation, letter=letter))
    site = yaml.safe_load(made.files["SITE.yaml"].content)
    assert site["coordinators"] == {"consortium-north": letter.coordinator_key}


def test_an_invitation_without_a_bundle_allows_none(wanted, invitation):
    letter = invitation.letter.model_copy(update={"bundles": ()})
    made = new_institution(wanted, replace(invitation, letter=letter))
    assert yaml.safe_load(made.files["NODE.yaml"].content)["bundles"] == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "shop"}, DictionaryError, "no institution type 'shop'"),
        ({"id": "Bank A"}, ConfigError, "id"),
        ({"region": "D\nE"}, ConfigError, "region"),
        ({"size": 6123}, ConfigError, "write 6100"),
        ({"kit": Path("/nowhere")}, ConfigError, "as --kit"),
    ],
)
def test_what_would_be_refused_later_is_refused_now(wanted, invitation, change, error, words):
    with pytest.raises(error, match=words):
        new_institution(replace(wanted, **change), invitation)


def test_a_kit_that_was_changed_is_refused(wanted, invitation, tmp_path, kit):
    folder = tmp_path / "clients" / "bank"
    folder.mkdir(parents=True)
    for name in ("SITE.yaml", "NODE.yaml", "policy.yaml"):
        (folder / name).write_text((kit / "clients" / "bank" / name).read_text(encoding="utf-8"), encoding="utf-8")
    new_institution(replace(wanted, kit=tmp_path), invitation)
    site = (folder / "SITE.yaml").read_text(encoding="utf-8")
    (folder / "SITE.yaml").write_text(site.replace("population:", "people:"), encoding="utf-8")
    with pytest.raises(ConfigError, match="0 lines for 'population'"):
        new_institution(replace(wanted, kit=tmp_path), invitation)
    (folder / "SITE.yaml").write_text(site + "surplus: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="surplus"):
        new_institution(replace(wanted, kit=tmp_path), invitation)


def test_a_node_key_is_what_flower_reads():
    made = make_node_key()
    key = load_ssh_private_key(made.private, None)
    assert key.curve.name == "secp384r1"
    assert made.public.startswith("ecdsa-sha2-nistp384 ")
