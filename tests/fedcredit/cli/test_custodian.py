"""``fedcredit custodian``: keys, the check of a site, and the service on its socket."""

import os
import signal
import socket as sockets
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fedcredit.custodian.address import METHOD
from fedcredit.errors import RefusalError
from fedcredit.wire.envelope import SigningKey, open_envelope
from fedcredit.wire.messages import IdentifyReply, IdentifyRequest, Refusal
from tests import tiny

WAIT_S = 60
# What is not refused is served, in this process, for ever.
STUCK = pytest.mark.timeout(WAIT_S)


def one_sentence(ran, *words):
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert "  " not in ran.err
    assert all(word in ran.err for word in words), ran.err


# --- keygen


def test_keygen_makes_two_secret_files_and_prints_the_public_key(cli, folder):
    ran = cli("custodian", "keygen", folder / "a" / "keys")
    assert (ran.code, ran.err) == (0, "")
    identity, data = (folder / "a" / "keys" / name for name in ("identity.pem", "data.key"))
    assert [path.stat().st_mode & 0o777 for path in (identity, data)] == [0o600, 0o600]
    assert SigningKey.load(identity).public.hex() in ran.out
    assert len(bytes.fromhex(data.read_text())) == 32
    assert data.read_text().strip() not in ran.out


def test_keygen_draws_new_keys_each_time(cli, folder):
    for name in ("a", "b"):
        assert cli("custodian", "keygen", folder / name).code == 0
    for file in ("identity.pem", "data.key"):
        assert (folder / "a" / file).read_bytes() != (folder / "b" / file).read_bytes()


@pytest.mark.parametrize("existing", ["identity.pem", "data.key"])
def test_keygen_never_overwrites(cli, folder, existing):
    (folder / existing).write_text("mine")
    one_sentence(cli("custodian", "keygen", folder), "never overwritten")
    assert [path.name for path in folder.iterdir()] == [existing]
    assert (folder / existing).read_text() == "mine"


def test_keygen_where_no_folder_can_be(cli, folder):
    (folder / "file").write_text("")
    one_sentence(cli("custodian", "keygen", folder / "file"), "choose another folder")


def test_a_token_is_made_and_not_printed(cli, folder):
    ran = cli("custodian", "token", folder / "relay.token")
    assert (ran.code, ran.err) == (0, "")
    token = (folder / "relay.token").read_text().strip()
    assert len(bytes.fromhex(token)) == 32
    assert token not in ran.out
    assert "chmod 640" in ran.out
    one_sentence(cli("custodian", "token", folder / "relay.token"), "never overwritten")


# --- check


def test_check_of_a_good_site(cli, site):
    ran = cli("custodian", "check", site.file)
    assert (ran.code, ran.err) == (0, "")
    assert "bank-1 (bank): 5 declared columns read, no problem found" in ran.out
    assert "stays on this console" in ran.out


def test_check_lists_every_problem_at_once(cli, site):
    (site.folder / "policy.yaml").chmod(0o666)
    (site.folder / "keys" / "data.key").chmod(0o644)
    site.change_roster(members=yaml.safe_load(site.roster.read_text())["members"][1:], expires="2020-12-31")
    rows = (site.folder / "rows.csv").read_text().replace(",age,", ",years,")
    (site.folder / "rows.csv").write_text(rows.replace(",0\n", ",good\n"))
    site.change("SITE.yaml", socket="d" * 120, relay_token="none")
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    assert "no problem" not in ran.out
    problems = ran.err.splitlines()
    assert all(line.startswith("problem: ") for line in problems)
    for words in (
        "chmod go-w",
        "chmod 600",
        "is not in roster",
        "valid until 2020-12-31; have the members sign version 2",
        "socket path",
        "relay token",
        "column 'age' is missing",
        "labels are neither",
        "every labelled row is bad",
    ):
        assert sum(words in line for line in problems) == 1, words
    assert len(problems) == 9


def test_check_names_a_roster_that_does_not_know_this_key(cli, site):
    members, stranger = yaml.safe_load(site.roster.read_text())["members"], SigningKey.generate()
    members[0] |= {"public_key": stranger.public.hex(), "kind": "hospital"}
    site.change_roster({"bank-1": stranger}, members=members)
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 2
    assert "as a hospital" in ran.err
    assert f"this site's is {site.key().public.hex()}" in ran.err


def test_check_names_signatures_that_a_roster_lacks(cli, site):
    signatures = yaml.safe_load(site.roster.read_text())["signatures"]
    site.change("roster.yaml", signatures={"bank-1": signatures["bank-2"], "bank-3": signatures["bank-1"]})
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    problems = ran.err.splitlines()
    assert len(problems) == 3
    assert all(f"roster {site.roster}" in line for line in problems)
    for line, words in zip(
        problems,
        ("is not signed by bank-2; each runs", "signature of bank-1 does not hold", "signature of bank-3, who is no"),
        strict=True,
    ):
        assert words in line


def test_check_takes_a_roster_on_its_last_day(cli, site):
    """The day may end while the test runs: tomorrow is a last day that has not passed either."""
    today = datetime.now(UTC).date()
    for last, code in ((today + timedelta(1), 0), (today - timedelta(1), 1)):
        site.change_roster(expires=last.isoformat())
        assert cli("custodian", "check", site.file).code == code


def test_check_names_columns_of_a_refused_class(cli, site):
    text = tiny.DICTIONARY.replace(b"data_class: private", b"data_class: sensitive-health", 1)
    (site.folder / "dictionary.yaml").write_bytes(text)
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    assert "refuses the class of age" in ran.err


def test_check_counts_persons_where_the_policy_does(cli, site):
    rows = (site.folder / "rows.csv").read_text()
    (site.folder / "rows.csv").write_text(rows + rows.splitlines()[1] + "\n")
    assert cli("custodian", "check", site.file).code == 0
    site.change("policy.yaml", unit="person")
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    assert "1 persons have more than 1 rows" in ran.err


def test_check_prints_notes_too(cli, site):
    rows = (site.folder / "rows.csv").read_text()
    (site.folder / "rows.csv").write_text(rows + "999,700,1,5,0\n")
    ran = cli("custodian", "check", site.file)
    assert ran.code == 0
    assert "note: age: 1 of 301 values" in ran.out


def test_check_goes_on_without_a_dictionary(cli, site):
    (site.folder / "dictionary.yaml").unlink()
    (site.folder / "policy.yaml").unlink()
    ran = cli("custodian", "check", site.file)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 2


# --- serve: what it refuses


def simulation_only(site):
    (site.folder / "dictionary.yaml").write_bytes(b"simulation_only: true\n" + tiny.DICTIONARY)


def split_by_column(site):
    target = {"column": "bad"}
    features = {name: {"column": name} for name in ("age", "status", "bill")}
    split = {"column": "status", "train": [1], "evaluate": [2]}
    values = {"features": features, "target": target, "id_column": "id", "split": split}
    (site.folder / "mapping.yaml").write_text(yaml.safe_dump(values))
    site.change("SITE.yaml", mapping="mapping.yaml")


def other_ledger(site):
    """The ledger was opened with another key than the roster's."""
    site.key_path.unlink()
    new = SigningKey.generate()
    new.save(site.key_path)
    members = yaml.safe_load(site.roster.read_text())["members"]
    site.change_roster(members=[members[0] | {"public_key": new.public.hex()}, members[1]])


def unknown_kind(site):
    """Roster and site agree on a type that the dictionary does not know."""
    members = yaml.safe_load(site.roster.read_text())["members"]
    site.change_roster(members=[members[0] | {"kind": "shop"}, members[1]])
    site.change("SITE.yaml", kind="shop")


def open_token(site):
    (site.folder / "relay.token").write_text("ab" * 32)
    (site.folder / "relay.token").chmod(0o644)
    site.change("SITE.yaml", relay_token="relay.token")


REFUSED = {
    "no site file": (lambda site: site.file.unlink(), "does not exist"),
    "no YAML": (lambda site: site.file.write_text("{"), "is not valid YAML"),
    "no mapping of keys": (lambda site: site.file.write_text("- 1"), "YAML mapping"),
    "site writable": (lambda site: site.file.chmod(0o664), "chmod go-w"),
    "unknown key": (lambda site: site.change("SITE.yaml", sockt="x"), "sockt: is not a known key"),
    "missing key": (lambda site: site.change("SITE.yaml", roster=None), "roster: is missing; add it"),
    "no promise": (lambda site: site.change("SITE.yaml", policy=None), "give either a policy file or not_private"),
    "two promises": (
        lambda site: site.change("SITE.yaml", not_private={"declared": "public"}),
        "give either a policy file or not_private",
    ),
    "no policy": (lambda site: (site.folder / "policy.yaml").unlink(), "without a policy everything is refused"),
    "policy writable": (lambda site: (site.folder / "policy.yaml").chmod(0o664), "chmod go-w"),
    "policy unknown key": (lambda site: site.change("policy.yaml", epsilom=1), "epsilom: is not a known key"),
    "policy epsilon": (lambda site: site.change("policy.yaml", epsilon=float("inf")), "epsilon"),
    "policy per job": (lambda site: site.change("policy.yaml", max_epsilon_per_job=5.0), "max_epsilon_per_job"),
    "policy class": (lambda site: site.change("policy.yaml", refused_classes=["sensitive_health"]), "refused_classes"),
    "policy placement": (lambda site: site.change("policy.yaml", placements=["none"]), "placements"),
    "policy cap": (lambda site: site.change("policy.yaml", max_records_per_person=2), "unit: person"),
    "not private": (
        lambda site: site.change("SITE.yaml", policy=None, not_private={"declared": "synthetic"}),
        "--accept-not-private",
    ),
    "simulation only": (simulation_only, "simulation only"),
    "split column": (split_by_column, "split column is for public data only"),
    "no ledger": (lambda site: (site.folder / "ledger.sqlite").unlink(), "ledger open"),
    "other population": (lambda site: site.change("SITE.yaml", population="others"), "population"),
    "no identity": (lambda site: (site.folder / "keys/identity.pem").unlink(), "custodian keygen"),
    "open identity": (lambda site: (site.folder / "keys/identity.pem").chmod(0o640), "chmod 600"),
    "other identity": (
        lambda site: ((site.folder / "keys/identity.pem").unlink(), SigningKey.generate().save(site.key_path)),
        "another key for bank-1",
    ),
    "other ledger": (other_ledger, "does not hold"),
    "no roster": (lambda site: site.roster.unlink(), "roster file"),
    "unsigned roster": (lambda site: site.change("roster.yaml", signatures=None), "is not signed by bank-1, bank-2"),
    "changed roster": (lambda site: site.change("roster.yaml", expires="2999-12-31"), "changed after it was signed"),
    "roster of others": (
        lambda site: site.change_roster(members=yaml.safe_load(site.roster.read_text())["members"][1:]),
        "bank-1 is not in roster",
    ),
    "short data key": (lambda site: (site.folder / "keys/data.key").write_text("00ff"), "is not 64 hex digits"),
    "no dictionary": (lambda site: (site.folder / "dictionary.yaml").unlink(), "data dictionary"),
    "other kind": (lambda site: site.change("SITE.yaml", kind="hospital"), "as a bank, SITE.yaml as a hospital"),
    "unknown kind": (unknown_kind, "no institution type 'shop'"),
    "no table": (lambda site: (site.folder / "rows.csv").unlink(), "there is no file"),
    "empty table": (lambda site: (site.folder / "rows.csv").write_text(""), "is empty"),
    "no column": (
        lambda site: (site.folder / "rows.csv").write_text("id,bad\n1,1\n"),
        "3 columns: age, status, bill; add or map them; 'fedcredit institution check SITE.yaml' lists every",
    ),
    "long socket": (lambda site: site.change("SITE.yaml", socket="s" * 100), "choose a shorter one"),
    "no socket folder": (lambda site: site.change("SITE.yaml", socket="nowhere/c.sock"), "create it"),
    "port without token": (lambda site: site.change("SITE.yaml", loopback_port=9), "name a relay_token as well"),
    "no port": (lambda site: site.change("SITE.yaml", metrics_port=70000), "metrics_port"),
    "no token": (lambda site: site.change("SITE.yaml", relay_token="none"), "fedcredit custodian token"),
    "open token": (open_token, "chmod 640"),
    "unknown group": (lambda site: site.change("SITE.yaml", socket_group="no-such-group"), "groupadd no-such-group"),
    "file for a socket": (lambda site: site.change("SITE.yaml", socket="rows.csv"), "is a file and no socket"),
}


@STUCK
@pytest.mark.parametrize("case", REFUSED)
def test_serve_refuses_in_one_sentence(cli, site, case):
    assert cli("ledger", "open", site.file).code == 0
    spoil, words = REFUSED[case]
    spoil(site)
    before = {path: path.stat().st_size for path in site.folder.rglob("*")}
    one_sentence(cli("custodian", "serve", site.file), words)
    assert not site.socket.exists()
    assert before.items() <= {path: path.stat().st_size for path in site.folder.rglob("*")}.items()


@STUCK
def test_two_institutions_with_policies_do_not_share_a_process(cli, site):
    other = site.folder / "OTHER.yaml"
    other.write_text(site.file.read_text().replace("bank-1", "bank-2"))
    one_sentence(cli("custodian", "serve", site.file, other), "process of its own")


@STUCK
def test_a_live_socket_is_never_taken_away(cli, site):
    assert cli("ledger", "open", site.file).code == 0
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(os.fspath(site.socket))
        listener.listen(1)
        one_sentence(cli("custodian", "serve", site.file), "in use by another custodian")
        with sockets.socket(sockets.AF_UNIX) as caller:
            caller.connect(os.fspath(site.socket))


# --- serve: what it does


def serving(process: subprocess.Popen, socket: Path) -> grpc.Channel:
    """A channel to a process that has said that it serves, and whose health service agrees."""
    said = process.stdout.readline()
    assert said == f"serving bank-1 on {socket}\n", said or process.stderr.read()
    channel = grpc.insecure_channel(f"unix:{socket}")
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    return channel


def ask(channel: grpc.Channel, request: bytes, public_key: bytes):
    reply = open_envelope(channel.unary_unary(METHOD)(request, timeout=WAIT_S))
    assert reply.sender == "bank-1"
    return reply.verify(public_key)


def stopped(process: subprocess.Popen, number: int) -> str:
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out


def test_serve_answers_until_sigterm(cli, site, spawn):
    assert cli("ledger", "open", site.file).code == 0
    stale = sockets.socket(sockets.AF_UNIX)
    stale.bind(os.fspath(site.socket))
    stale.close()
    process = spawn("custodian", "serve", site.file)
    with serving(process, site.socket) as channel:
        assert site.socket.stat().st_mode & 0o777 == 0o600
        public, nonce = site.key().public, bytes(range(32))
        request = site.coordinator.seal("coordinator", IdentifyRequest(nonce))
        assert ask(channel, request, public) == IdentifyReply(nonce)
        for foreign in (request[:-7], b"\x00\xff\x17" * 50, b""):
            refusal = ask(channel, foreign, public)
            assert isinstance(refusal, Refusal)
            assert refusal.code == "wire"
        stranger = SigningKey.generate().seal("coordinator", IdentifyRequest(nonce))
        assert ask(channel, stranger, public).code == "signature"
        with pytest.raises(RefusalError):
            open_envelope(channel.unary_unary(METHOD)(request)).verify(SigningKey.generate().public)
        # A second custodian on the same ledger finds it taken.
        site.change("SITE.yaml", socket="d.sock")
        one_sentence(cli("custodian", "serve", site.file), "in use by another custodian")
        site.change("SITE.yaml", socket="c.sock")
    assert "stopped" in stopped(process, signal.SIGTERM)
    assert not site.socket.exists()
    assert cli("ledger", "show", site.file).code == 0


def test_public_data_are_served_without_a_policy_when_asked_for(cli, site, spawn):
    site.change("SITE.yaml", policy=None, not_private={"declared": "public"})
    simulation_only(site)
    assert cli("ledger", "open", site.file).code == 0
    process = spawn("custodian", "serve", site.file, "--accept-not-private")
    serving(process, site.socket).close()
    stopped(process, signal.SIGINT)
    assert not site.socket.exists()
