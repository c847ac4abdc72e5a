from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedcredit.errors import ConfigError
from fedcredit.provisioning.certificates import (
    SERVER_DAYS,
    ServerCertificate,
    alternative_name,
    check_server_certificate,
    make_authority,
    make_key,
    make_server_certificate,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOST = "consortium.example"


@pytest.fixture(scope="module")
def made() -> ServerCertificate:
    return make_server_certificate(make_authority("ours", NOW), (HOST, "127.0.0.1"), NOW)


def test_what_is_made_is_accepted_for_each_of_its_names(made):
    for host in (HOST, "127.0.0.1"):
        check_server_certificate(made, host, NOW)


def test_the_server_may_sign_nobody_and_the_ca_no_further_ca(made):
    server, ca = (x509.load_pem_x509_certificate(pem) for pem in (made.certificate, made.ca))
    constraints = [one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in (server, ca)]
    assert [(one.ca, one.path_length) for one in constraints] == [(False, None), (True, 0)]
    assert b"PRIVATE KEY" not in made.certificate + made.ca


def test_a_stranger_s_handshake_costs_the_server_one_signature_on_the_fastest_curve(made):
    for key in (made.key, make_key()):
        assert load_pem_private_key(key, password=None).curve.name == "secp256r1"


@pytest.mark.parametrize("days", [-1, SERVER_DAYS + 1])
def test_out_of_date_is_refused(made, days):
    with pytest.raises(ConfigError, match="is valid from 2026-05-04 to 2028-05-03; have it renewed"):
        check_server_certificate(made, HOST, NOW + timedelta(days=days))


@pytest.mark.parametrize("host", ["other.example", "consortium.example.org", "10.0.0.1", "sub.consortium.example"])
def test_another_name_is_refused(made, host):
    with pytest.raises(ConfigError, match=r"no subject alternative name .* \(it has consortium.example, 127.0.0.1\)"):
        check_server_certificate(made, host, NOW)


def test_a_wildcard_stands_for_one_label():
    wild = make_server_certificate(make_authority("ours", NOW), ("*.example",), NOW)
    check_server_certificate(wild, HOST, NOW)
    with pytest.raises(ConfigError, match="no subject alternative name"):
        check_server_certificate(wild, "a.b.example", NOW)


def test_another_key_is_refused(made):
    other = make_server_certificate(make_authority("ours", NOW), (HOST,), NOW)
    with pytest.raises(ConfigError, match="the key is not the certificate's"):
        check_server_certificate(replace(made, key=other.key), HOST, NOW)


def test_a_ca_of_the_same_name_does_not_vouch(made):
    with pytest.raises(ConfigError, match=r"the CA file does not vouch for CN=consortium\.example"):
        check_server_certificate(replace(made, ca=make_authority("ours", NOW).certificate), HOST, NOW)


@pytest.mark.parametrize("part", ["certificate", "key", "ca"])
def test_what_is_no_pem_is_refused(made, part):
    with pytest.raises(ConfigError, match="PEM"):
        check_server_certificate(replace(made, **{part: b"no PEM"}), HOST, NOW)


def test_a_chain_is_followed_to_its_root():
    root, now = make_authority("root", NOW), NOW
    middle = make_authority("middle", now)
    leaf = make_server_certificate(middle, (HOST,), now)
    with pytest.raises(ConfigError, match="does not vouch"):
        check_server_certificate(replace(leaf, ca=root.certificate), HOST, now)
    check_server_certificate(replace(leaf, certificate=leaf.certificate + middle.certificate), HOST, now)


def test_an_address_and_a_name_are_written_apart():
    assert isinstance(alternative_name("::1"), x509.IPAddress)
    assert isinstance(alternative_name("127.0.0.1.example"), x509.DNSName)
