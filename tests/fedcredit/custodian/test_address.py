"""Addresses of a custodian, and the token's file."""

import os

import pytest

from fedcredit.custodian.address import call_metadata, grpc_target
from fedcredit.custodian.relay_token import load_relay_token, make_relay_token
from fedcredit.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/run/fedcredit/c.sock", "unix:/run/fedcredit/c.sock"),
        ("c.sock", "unix:c.sock"),
        ("/run/odd:9/c.sock", "unix:/run/odd:9/c.sock"),
        ("127.0.0.1:9095", "ipv4:127.0.0.1:9095"),
    ],
)
def test_an_address_is_a_socket_or_a_loopback_port(address, target):
    assert grpc_target(address) == target


@pytest.mark.parametrize(
    "address", ["10.0.0.1:9095", "localhost:9095", "0.0.0.0:9095", "127.0.0.1:0", "127.0.0.1:65536", ":9095"]
)
def test_nothing_else_is_one(address):
    with pytest.raises(ConfigError, match="is no custodian's address"):
        grpc_target(address)


def test_a_call_shows_what_is_known():
    assert call_metadata(None, None) == ()
    assert call_metadata("bank-1", "ab") == (("institution", "bank-1"), ("fedcredit-token", "ab"))


def test_a_token_is_made_once_and_for_this_account(tmp_path):
    path = tmp_path / "relay.token"
    make_relay_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    token = load_relay_token(path)
    assert len(bytes.fromhex(token)) == 32
    with pytest.raises(ConfigError, match="never overwritten"):
        make_relay_token(path)
    assert load_relay_token(path) == token
    make_relay_token(tmp_path / "another")
    assert load_relay_token(tmp_path / "another") != token
    with pytest.raises(ConfigError, match="cannot be written"):
        make_relay_token(tmp_path / "nowhere" / "relay.token")


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o640, True), (0o644, False), (0o660, False)])
def test_a_token_is_closed_to_others(tmp_path, mode, taken):
    path = tmp_path / "relay.token"
    make_relay_token(path)
    path.chmod(mode)
    if taken:
        assert load_relay_token(path)
        return
    with pytest.raises(ConfigError, match="chmod 640"):
        load_relay_token(path)


@pytest.mark.parametrize("text", [b"", b"ab" * 31, b"zz" * 32, b"ab" * 33, b"\xff\xfe"])
def test_what_is_no_token_is_said_and_not_repeated(tmp_path, text):
    path = tmp_path / "relay.token"
    path.touch(mode=0o600)
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="is not 64 hex digits") as caught:
        load_relay_token(path)
    assert not text or os.fsdecode(text) not in str(caught.value)


def test_a_missing_token_is_said(tmp_path):
    with pytest.raises(ConfigError, match="fedcredit custodian token"):
        load_relay_token(tmp_path / "relay.token")
