"""What `consortium init` writes must be what the coordinator reads."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fedcredit.data.uci import uci_dictionary
from fedcredit.errors import ConfigError, DictionaryError
from fedcredit.provisioning.certificates import make_authority, make_server_certificate
from fedcredit.provisioning.consortium import new_consortium
from fedcredit.provisioning.invitation import read_invitation
from fedcredit.wire.envelope import SigningKey
from server.coordinator_file import load_coordinator_file
from server.plan_file import load_plan_file
from tests import tiny

NOW = datetime.now(UTC)


def test_the_coordinator_reads_its_file(coordinator):
    file = load_coordinator_file(coordinator / "COORDINATOR.yaml")
    assert (file.name, file.region, file.fleet.port) == ("coordinator", "DE", 9443)
    assert file.dictionary.read_bytes() == tiny.DICTIONARY
    letter = read_invitation(coordinator / "invitation").letter
    assert letter.coordinator_key == SigningKey.load(file.key).public.hex()
    assert (letter.superlink, letter.region, letter.bundles) == ("127.0.0.1:9443", "DE", ("ab" * 32,))


def test_the_pacing_that_is_written_is_the_default(coordinator):
    file = load_coordinator_file(coordinator / "COORDINATOR.yaml")
    assert file.pacing == type(file.pacing)()


def test_the_plan_template_is_a_plan(coordinator):
    plan = load_plan_file(coordinator / "PLAN.yaml")
    assert (plan.model.family, plan.privacy.epsilon, plan.quorum) == ("scorecard", 1.0, None)
    assert plan.privacy.delta is None
    assert plan.terms(1e-6).delta == 1e-6


def test_the_plan_asks_for_no_more_than_the_policies_of_the_kit_allow(coordinator, kit):
    plan = load_plan_file(coordinator / "PLAN.yaml")
    for kind in ("bank", "hospital"):
        policy = (kit / "clients" / kind / "policy.yaml").read_text(encoding="utf-8")
        assert f"- {plan.purpose}\n" in policy
        assert f"max_epsilon_per_job: {plan.privacy.epsilon}" in policy


def test_no_secret_is_in_the_invitation(coordinator):
    secrets = [path.read_bytes() for path in (coordinator / "keys", coordinator / "tls") for path in path.iterdir()]
    invitation = b"".join(path.read_bytes() for path in (coordinator / "invitation").iterdir())
    assert sum(b"PRIVATE KEY" in secret for secret in secrets) == 3
    assert b"PRIVATE KEY" not in invitation


def test_the_certificate_serves(coordinator):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(coordinator / "tls" / "server.pem", coordinator / "tls" / "server.key")
    certificate = x509.load_pem_x509_certificate((coordinator / "tls" / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["127.0.0.1", "localhost"]


def test_given_certificates_are_used_and_no_ca_key_is_made(asked):
    given = make_server_certificate(make_authority("theirs", NOW), ("127.0.0.1",), NOW)
    made = new_consortium(replace(asked, certificate=given), NOW)
    assert made.files["tls/server.pem"].content == given.certificate
    assert made.files["invitation/ca.pem"].content == given.ca
    assert "tls/ca.key" not in made.files


def test_given_certificates_are_checked(asked):
    given = make_server_certificate(make_authority("theirs", NOW), ("other.example",), NOW)
    with pytest.raises(ConfigError, match="no subject alternative name"):
        new_consortium(replace(asked, certificate=given), NOW)
    with pytest.raises(ConfigError, match="have it renewed"):
        new_consortium(replace(asked, certificate=given, host="other.example"), NOW + timedelta(days=2000))


def test_an_address_of_version_6_is_bracketed_and_no_region_leaves_the_line_off(asked):
    made = new_consortium(replace(asked, host="::1", region=None), NOW)
    assert made.invitation.letter.superlink == "[::1]:9443"
    assert b"\n# region: DE" in made.files["COORDINATOR.yaml"].content


def test_a_dictionary_that_is_none_is_refused(asked):
    with pytest.raises(DictionaryError):
        new_consortium(replace(asked, dictionary=b"name: x\n"), NOW)


def test_two_consortia_share_no_key(asked):
    first, second = (new_consortium(asked, NOW) for _ in range(2))
    for name in ("keys/coordinator.pem", "tls/server.key", "tls/ca.key"):
        assert first.files[name].content != second.files[name].content


def test_the_packaged_example_is_a_dictionary():
    assert uci_dictionary().kinds == ("bank", "hospital")
