"""Two institutions on one machine, by their commands only: consent, serve --block, score-with-peer."""

import io
import json
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fedcredit.package.storage import write_package
from fedcredit.wire.envelope import SigningKey
from tests import packages

PURPOSE = "credit decision"
IDS = ["p1", "p2", "p3", "p4"]


@pytest.fixture
def both(tmp_path):
    """Folders of a bank and a hospital with keys, tables and peers files."""
    keys = {name: SigningKey.generate() for name in ("bank-1", "hospital-1")}
    for name, other in (("bank-1", "hospital-1"), ("hospital-1", "bank-1")):
        folder = tmp_path / name
        folder.mkdir()
        keys[name].save(folder / "identity.pem")
        (folder / "pair.key").touch(mode=0o600)
        (folder / "pair.key").write_text("5a" * 32)
        pq.write_table(pa.table({**packages.odd_values(2, 4), "id": IDS}), folder / "rows.parquet")
        peer = {"public_key": keys[other].public.hex(), "pair_key": "pair.key", "purposes": [PURPOSE]}
        content = {"institution": name, "identity_key": "identity.pem", "audit": "book.sqlite", "peers": {other: peer}}
        if name == "hospital-1":
            content["answering"] = {"consents": "consents.csv", "data": {"kind": "parquet", "path": "rows.parquet"}}
        (folder / "PEERS.yaml").write_text(yaml.safe_dump(content))
    write_package(packages.files(1), tmp_path / "p.zip")
    return tmp_path


def consent(cli, monkeypatch, both, person, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{person}\n"))
    return cli("consent", arguments[0], both / "hospital-1" / "PEERS.yaml", "--peer", "bank-1", *arguments[1:])


def test_a_consented_number_reaches_the_bank_s_scores(cli, both, monkeypatch):
    until = ("--purpose", PURPOSE, "--until", "2999-12-31")
    tokens = {person: consent(cli, monkeypatch, both, person, "add", *until).out.strip() for person in ("p1", "p2")}
    assert consent(cli, monkeypatch, both, "p2", "withdraw").out == "1 consents ended\n"
    stored = (both / "hospital-1" / "consents.csv").read_text()
    assert not [secret for secret in ("p1", *tokens.values()) if secret in stored]
    lines = "".join(f"{person},{token}\n" for person, token in tokens.items())
    (both / "tokens.csv").write_text(f"id,token\n{lines}")
    command = [sys.executable, "-c", "from fedcredit.cli import main; main()", "serve", str(both / "p.zip")]
    peers = str(both / "hospital-1" / "PEERS.yaml")
    options = ["--block", "hospital", "--peers", peers, "--listen", "127.0.0.1:0", "--log-format", "json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = json.loads(process.stdout.readline())
            own = both / "bank-1" / "PEERS.yaml"
            content = yaml.safe_load(own.read_text())
            content["peers"]["hospital-1"]["address"] = line["address"]
            own.write_text(yaml.safe_dump(content))
            asked = ("--peers", own, "--peer", "hospital-1", "--block", "hospital", "--purpose", PURPOSE)
            given = ("--tokens", both / "tokens.csv", "--view", "bank", "--out", both / "s.parquet")
            ran = cli("score-with-peer", both / "p.zip", both / "bank-1" / "rows.parquet", *asked, *given)
        finally:
            process.send_signal(signal.SIGTERM)
    assert (ran.code, ran.err) == (0, "")
    assert "hospital-1: 1 answered, 1 refused, 0 limit" in ran.out
    rows = pq.read_table(both / "s.parquet").to_pylist()
    assert ["block:hospital" in row["flags"] for row in rows] == [False, True, True, True]


def test_without_a_joint_view_the_table_is_scored_and_nobody_asked(cli, both):
    write_package(packages.files(1, joint=None), both / "q.zip")
    asked = ("--peers", both / "none.yaml", "--peer", "x", "--block", "hospital", "--purpose", PURPOSE)
    given = ("--tokens", both / "none.csv", "--view", "bank", "--out", both / "s.parquet")
    ran = cli("score-with-peer", both / "q.zip", both / "bank-1" / "rows.parquet", *asked, *given)
    assert ran.code == 0
    assert "λ = 0" in ran.out
    assert pq.read_metadata(both / "s.parquet").num_rows == 4


def test_faults_are_sentences(cli, both, monkeypatch):
    until = ("--purpose", PURPOSE, "--until", "2999-12-31")
    assert "not agreed with bank-1" in consent(cli, monkeypatch, both, "p1", "add", "--purpose", "x", *until[2:]).err
    assert "is no day" in consent(cli, monkeypatch, both, "p1", "add", *until[:3], "soon").err
    assert "no id on standard input" in consent(cli, monkeypatch, both, "", "add", *until).err
    assert "give --peers PEERS.yaml" in cli("serve", both / "p.zip", "--block", "hospital").err
    assert "leave it out with --block" in cli("serve", both / "p.zip", "--block", "hospital", "--http-port", "0").err
    peers = both / "bank-1" / "PEERS.yaml"
    assert "no part 'answering'" in cli("serve", both / "p.zip", "--block", "hospital", "--peers", peers).err
    (both / "bank-1" / "pair.key").chmod(0o644)
    (both / "tokens.csv").write_text("id,token\np1,00\n")
    asked = ("--peers", peers, "--peer", "hospital-1", "--block", "hospital", "--purpose", PURPOSE, "--view", "bank")
    table = (both / "p.zip", both / "bank-1" / "rows.parquet", "--out", both / "s.parquet")
    assert "64 hex digits" in cli("score-with-peer", *table, *asked, "--tokens", both / "tokens.csv").err
    (both / "tokens.csv").write_text(f"id,token\np1,{'00' * 32}\n")
    assert "open to other accounts" in cli("score-with-peer", *table, *asked, "--tokens", both / "tokens.csv").err
    assert "TLS needs both" in cli("serve", both / "p.zip", "--tls-key", both / "k.pem").err
