"""NODE.yaml: what a node user may write, each fault with its remedy, and no password in any of them."""

import pytest

from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile, Timeouts, load_node_file

FIELDS = {
    "superlink": "consortium.example:9443",
    "root_certificates": "tls/ca.pem",
    "node_key": "keys/node",
    "custodian": "custodian.sock",
    "bundles": f"[{'0a' * 32}]",
    "state": "state",
}


@pytest.fixture
def loaded(tmp_path):
    """Load a NODE.yaml with some fields changed; None takes one out."""

    def load(**changes: str | None) -> NodeFile:
        fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
        (tmp_path / "NODE.yaml").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
        return load_node_file(tmp_path / "NODE.yaml")

    return load


def test_paths_are_relative_to_the_file(loaded, tmp_path):
    node = loaded(relay_token="keys/relay.token")
    assert node.root_certificates == tmp_path / "tls" / "ca.pem"
    assert node.node_key == tmp_path / "keys" / "node"
    assert node.relay_token == tmp_path / "keys" / "relay.token"
    assert node.state == tmp_path / "state"
    assert node.custodian == str(tmp_path / "custodian.sock")
    assert not node.custodian_is_a_port


def test_what_is_left_out_has_a_stated_value(loaded):
    node = loaded()
    assert (node.runtime_port, node.proxy, node.relay_token) == (9094, None, None)
    assert node.timeouts == Timeouts(
        custodian_connect_s=10, answer_s=3600, poll_s=0.1, restart_first_s=1, restart_longest_s=65
    )


def test_a_loopback_port_stays_as_it_is(loaded):
    node = loaded(custodian="127.0.0.1:50051", relay_token="token")
    assert node.custodian == "127.0.0.1:50051"
    assert node.custodian_is_a_port


def test_no_bundle_is_reviewed_at_first(loaded):
    assert loaded(bundles="[]").bundles == ()


@pytest.mark.parametrize(
    "superlink", ["consortium.example", "https://consortium.example:9443", "a:0", "a:70000", ":1", "a b:1", "a:x"]
)
def test_a_superlink_is_one_host_and_port(loaded, superlink):
    with pytest.raises(ConfigError, match=r"superlink: .* is not host:port; write e\.g\. "):
        loaded(superlink=repr(superlink))


@pytest.mark.parametrize("superlink", ["10.0.0.7:1", "[::1]:9443", "a.b-c.example:65535"])
def test_addresses_that_work(loaded, superlink):
    assert loaded(superlink=f"'{superlink}'").superlink == superlink


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.bank.example:3128",
        "https://hunter2@p:1",
        "http://p",
        "http://hunter2@p:1/x",
        "socks5://p:1",
        "http://p:x",
    ],
)
def test_another_proxy_is_refused_and_not_repeated(loaded, proxy):
    with pytest.raises(ConfigError, match="proxy: is not a proxy's URL; write") as refused:
        loaded(proxy=repr(proxy))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("custodian", ["10.0.0.1:50051", "localhost:50051", "127.0.0.1:0", "''"])
def test_a_custodian_is_on_this_machine(loaded, custodian):
    with pytest.raises(ConfigError, match="custodian: "):
        loaded(custodian=custodian, relay_token="token")


def test_a_port_needs_a_token(loaded):
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:50051 is a port, .* name a relay_token"):
        loaded(custodian="127.0.0.1:50051")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"superlink": None}, "superlink: is missing; add it"),
        ({"hurry": "true"}, "hurry: is not a known key"),
        ({"bundles": "[0A]"}, "bundles · item 1: "),
        ({"runtime_port": "0"}, "runtime_port: "),
        ({"timeouts": "{poll_s: 0}"}, "timeouts · poll_s: "),
        ({"timeouts": "{answer_s: .inf}"}, "timeouts · answer_s: "),
        ({"timeouts": "{restart_first_s: 9, restart_longest_s: 8}"}, "restart_longest_s 8 is below restart_first_s 9"),
    ],
)
def test_every_other_fault_is_one_sentence(loaded, changes, message):
    with pytest.raises(ConfigError) as refused:
        loaded(**changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_names_the_templates(tmp_path):
    with pytest.raises(ConfigError, match="from clients/bank or clients/hospital"):
        load_node_file(tmp_path / "NODE.yaml")
