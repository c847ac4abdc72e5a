"""A node user taken over completely, against a real custodian process with a policy.

The attacker has all that the node user has: NODE.yaml and every file that it names, the environment of its processes,
the relay token, the node key, the socket, and every byte that was ever relayed. What it gets are refusals, and again
the bytes that the policy had released. Both run under one account here: that files of mode 0600 are closed to another
account is the operating system's part, and is checked as modes.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import yaml

from clients.node import site_runner, supernode
from clients.relay import relay
from fedcredit.custodian.address import CHANNEL_OPTIONS, METHOD, call_metadata, grpc_target
from fedcredit.custodian.relay_token import load_relay_token, make_relay_token
from fedcredit.errors import RefusalError
from fedcredit.node_file import load_node_file
from fedcredit.planning import accountant_for
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.roster_file import SignedRoster, sign_roster, write_roster_file
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import (
    Contribution,
    IdentifyReply,
    IdentifyRequest,
    JoinReply,
    JoinRequest,
    Message,
    Refusal,
    ReleaseRequest,
    Role,
)
from simulations.federation import COORDINATOR, PURPOSE, Federation, found
from tests import tiny
from tests.clients.nodes import ROOT, make_node
from tests.fedcredit.cli.conftest import table
from tests.privacy_checks import round_request

WAIT_S = 30.0
ME = "bank-1"


@dataclass
class Institution:
    """Both halves of an institution on disk, and what passed between them."""

    consortium: Federation
    folder: Path
    node_file: Path
    passed: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def key(self) -> SigningKey:
        return self.consortium.keys[ME]

    def send(self, request: bytes) -> bytes:
        """As the site runner relays, with what NODE.yaml gives it."""
        node = load_node_file(self.node_file)
        assert node.relay_token is not None
        return relay(node.custodian, request, None, WAIT_S, token=load_relay_token(node.relay_token))

    def genuinely(self, message: Message) -> Message:
        """What the coordinator asks and the runner relays, overheard by the attacker."""
        request = self.consortium.coordinator_key.seal(COORDINATOR, message)
        self.passed[request] = self.send(request)
        return open_envelope(self.passed[request]).verify(self.key.public)

    def refuses(self, request: bytes) -> bool:
        """Whether the answer is a signed refusal, or nothing at all."""
        try:
            reply = self.send(request)
        except RefusalError as error:
            return error.code == "custodian-failed"
        return isinstance(open_envelope(reply).verify(self.key.public), Refusal)


def write_custodian(consortium: Federation, folder: Path) -> None:
    """The custodian's folder: keys, data, a policy, a ledger and a token."""
    folder.mkdir(mode=0o700)
    key, roster = consortium.keys[ME], consortium.plan.roster
    key.save(folder / "identity.pem")
    (folder / "data.key").touch(mode=0o600)
    (folder / "data.key").write_text(os.urandom(32).hex())
    make_relay_token(folder / "relay.token")
    (folder / "rows.csv").write_text(table())
    (folder / "dictionary.yaml").write_bytes(tiny.DICTIONARY)
    signatures = {name: sign_roster(roster, one) for name, one in consortium.keys.items()}
    write_roster_file(folder / "roster.yaml", SignedRoster(roster, signatures))
    terms = consortium.plan.privacy
    policy = {"epsilon": 8.0, "delta": 1e-5, "max_epsilon_per_job": 8.0, "unit": "record", "purposes": [PURPOSE]}
    (folder / "policy.yaml").write_text(yaml.safe_dump({**policy, "min_institutions": 2}))
    account = Account("cards", terms.unit.value, accountant_for(terms, consortium.plan.phases.train.sampling_rate))
    Ledger.create(folder / "ledger.sqlite", key, account).close()
    fields = {
        "institution": ME,
        "kind": "bank",
        "population": "cards",
        "dictionary": "dictionary.yaml",
        "roster": "roster.yaml",
        "identity_key": "identity.pem",
        "data_key": "data.key",
        "data": {"kind": "csv", "path": "rows.csv"},
        "policy": "policy.yaml",
        "ledger": "ledger.sqlite",
        "coordinators": {COORDINATOR: consortium.coordinator_key.public.hex()},
        "socket": "c.sock",
        "relay_token": "relay.token",
    }
    (folder / "SITE.yaml").write_text(yaml.safe_dump(fields))
    for name in ("SITE.yaml", "policy.yaml"):
        (folder / name).chmod(0o600)


@contextmanager
def served(site: Path) -> Iterator[None]:
    command = [sys.executable, "-c", "from fedcredit.cli import main; main()", "custodian", "serve", str(site)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """An institution in the middle of a job: joined, and one contribution has left."""
    folder = tmp_path_factory.mktemp("i")
    banks = (tiny.institution(ME, "bank", 300, 1), tiny.institution("bank-2", "bank", 300, 2))
    consortium = found(tiny.dictionary(), banks, tiny.spec(tiny.LOCAL.model_copy(update={"masks": False})))
    write_custodian(consortium, folder / "custodian")
    (folder / "node").mkdir()
    token = folder / "node" / "relay.token"
    token.touch(mode=0o600)
    token.write_text((folder / "custodian" / "relay.token").read_text())
    fields = {"custodian": folder / "custodian" / "c.sock", "relay_token": "relay.token"}
    made = Institution(consortium, folder, make_node(folder / "node", ["0a" * 32], **fields))
    with served(folder / "custodian" / "SITE.yaml"):
        assert isinstance(made.genuinely(IdentifyRequest(bytes(32))), IdentifyReply)
        assert isinstance(made.genuinely(JoinRequest(consortium.plan.to_bytes())), JoinReply)
        assert isinstance(made.genuinely(round_request(consortium, Role.PREFLIGHT, b"")), Contribution)
        yield made


def events(institution: Institution) -> int:
    """Number of events in the ledger, read beside the custodian that holds it."""
    ledger = (institution.folder / "custodian" / "ledger.sqlite").as_uri()
    with closing(sqlite3.connect(f"{ledger}?mode=ro", uri=True)) as read_only:
        (count,) = read_only.execute("SELECT COUNT(*) FROM event").fetchone()
    return int(count)


FORGERIES: dict[str, Callable[[Institution, Message], bytes]] = {
    "signed by itself as the coordinator": lambda _, asked: SigningKey.generate().seal(COORDINATOR, asked),
    "signed by itself as a member": lambda _, asked: SigningKey.generate().seal("bank-2", asked),
    "signed by itself as itself": lambda _, asked: SigningKey.generate().seal("node", asked),
    "unsigned": lambda it, asked: it.consortium.coordinator_key.seal(COORDINATOR, asked)[:-64] + bytes(64),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_what_the_coordinator_did_not_sign_is_refused(institution, forge):
    plan, spent = institution.consortium.plan, events(institution)
    for asked in (
        IdentifyRequest(bytes([7]) * 32),
        JoinRequest(plan.to_bytes()),
        round_request(institution.consortium, Role.PREFLIGHT, b"", attempt=2),
        round_request(institution.consortium, Role.TRAIN, b""),
        ReleaseRequest(plan.digest(), b"{}"),
    ):
        assert institution.refuses(forge(institution, asked))
    assert events(institution) == spent


def test_arbitrary_bytes_are_refused(institution):
    spent, genuine = events(institution), next(iter(institution.passed))
    tried = [b"", b"\0", os.urandom(64), os.urandom(100_000), b"GET / HTTP/1.1\r\n\r\n", genuine[:-1], genuine + b"\0"]
    tried += [
        genuine[:place] + bytes([genuine[place] ^ 1]) + genuine[place + 1 :] for place in range(0, len(genuine), 5)
    ]
    assert all(institution.refuses(request) for request in tried)
    assert events(institution) == spent


def test_replayed_bytes_get_what_had_been_released_and_are_not_charged(institution):
    spent, known = events(institution), set(institution.passed.values())
    for request in [*institution.passed] * 2:
        assert institution.send(request) in known or institution.refuses(request)
    assert events(institution) == spent


def test_answers_sent_back_as_requests_are_refused(institution):
    assert all(institution.refuses(reply) for reply in institution.passed.values())


def test_no_other_method_is_served(institution):
    node = load_node_file(institution.node_file)
    shown = call_metadata(None, load_relay_token(node.relay_token))
    with grpc.insecure_channel(grpc_target(node.custodian), options=CHANNEL_OPTIONS) as channel:
        for method in (
            "/fedcredit.v1.Custodian/Export",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.channelz.v1.Channelz/GetServers",
        ):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(method)(b"", timeout=WAIT_S, metadata=shown)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        # An account without the token is not even heard.
        with pytest.raises(grpc.RpcError) as unheard:
            channel.unary_unary(METHOD)(next(iter(institution.passed)), timeout=WAIT_S)
        assert unheard.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_nothing_that_the_node_user_holds_opens_the_custodian(institution):
    """Its files and environments hold no secret of the custodian's but the token, and name no file but the socket."""
    custodian, node = institution.folder / "custodian", load_node_file(institution.node_file)
    named = {node.root_certificates, node.node_key, node.relay_token, node.state, Path(node.custodian)}
    assert {path for path in named if not path.is_relative_to(institution.node_file.parent)} == {custodian / "c.sock"}
    kept = b"".join(path.read_bytes() for path in institution.node_file.parent.rglob("*") if path.is_file())
    inherited = str([child(institution.node_file, node).environment for child in (site_runner, supernode)])
    for secret in ("identity.pem", "data.key", "policy.yaml", "ledger.sqlite", "rows.csv", "SITE.yaml"):
        content = (custodian / secret).read_bytes()
        assert content.strip().splitlines()[-2 if secret == "identity.pem" else -1] not in kept
        assert secret not in kept.decode(errors="replace") + inherited
    assert {(custodian / name).stat().st_mode & 0o077 for name in ("identity.pem", "data.key", "SITE.yaml", "")} == {0}
