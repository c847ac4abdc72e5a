"""``fedcredit institution``: from an invitation to a checked site, a change of keys, and out again."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.csv
import pytest

from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.data.uci import load_uci
from fedcredit.node_file import load_node_file
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning.certificates import (
    Authority,
    ServerCertificate,
    make_authority,
    make_server_certificate,
)
from fedcredit.roster_file import load_roster, read_roster_file
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.cli.test_consortium import one_sentence
from tests.fedcredit.provisioning.conftest import KIT
from tests.fedcredit.provisioning.https_servers import https

MEMBERS = ("bank-a", "bank-b", "hospital-c")


def folder_of(folder: Path, name: str) -> Path:
    return folder / name


def join(cli, folder: Path, name: str, **options: object):
    given = {"kind": name.split("-", maxsplit=1)[0], "region": "DE", "size": 6000, "kit": KIT, **options}
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    return cli("institution", "init", folder / name, "--id", name, "--invitation", folder / "c" / "invitation", *words)


@pytest.fixture
def invited(cli, folder) -> Path:
    """A coordinator's folder and its invitation."""
    ran = cli("consortium", "init", folder / "c", "--host", "127.0.0.1", "--example", "uci", "--bundle", "ab" * 32)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture
def joined(cli, invited) -> Path:
    """Three institutions under version 1 of the roster, and the roster's file beside them."""
    for name in MEMBERS:
        ran = join(cli, invited, name, data="rows.csv")
        assert ran.code == 0, ran.err
    applications = [invited / name / f"{name}.application.yaml" for name in MEMBERS]
    assert cli("consortium", "enroll", invited / "roster.yaml", *applications).code == 0
    for name in MEMBERS:
        ran = cli("institution", "approve", invited / name / "SITE.yaml", invited / "roster.yaml", "--yes")
        assert ran.code == 0, ran.err
    for name in MEMBERS[:-1]:
        assert cli("institution", "adopt", invited / name / "SITE.yaml", invited / "roster.yaml").code == 0
    return invited


# --- init


def test_init_says_what_to_compare_to_read_and_to_send(cli, invited):
    ran = join(cli, invited, "bank-a")
    assert (ran.code, ran.err) == (0, "")
    said = re.search(r"second channel: ([0-9a-f]{64})", ran.out)
    shown = cli("consortium", "init", invited / "d", "--host", "h", "--example", "uci").out
    assert said is not None
    assert said.group(1) not in shown
    assert str(invited / "bank-a" / "bank-a.application.yaml") in ran.out
    key = SigningKey.load(invited / "bank-a" / "keys" / "identity.pem")
    assert key.public.hex() in ran.out


def test_init_overwrites_nothing(cli, invited):
    assert join(cli, invited, "bank-a").code == 0
    before = (invited / "bank-a" / "keys" / "identity.pem").read_bytes()
    one_sentence(join(cli, invited, "bank-a"), "nothing is overwritten")
    assert (invited / "bank-a" / "keys" / "identity.pem").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "shop"}, "no institution type 'shop'"),
        ({"size": 6123}, "write 6100"),
        ({"region": "<b>"}, "region"),
        ({"kit": "/nowhere"}, "as --kit"),
    ],
)
def test_init_refuses_before_it_writes(cli, invited, options, words):
    one_sentence(join(cli, invited, "bank-a", **options), words)
    assert not (invited / "bank-a").exists()


def test_init_needs_an_invitation(cli, folder):
    (folder / "c" / "invitation").mkdir(parents=True)
    one_sentence(join(cli, folder, "bank-a"), "ask for it again")


# --- approve and adopt


def test_the_last_signature_takes_the_roster_over(cli, joined):
    rosters = [load_roster(load_site_file(joined / name / "SITE.yaml").roster) for name in MEMBERS]
    assert rosters[0] == rosters[1] == rosters[2] == load_roster(joined / "roster.yaml")


def test_approve_shows_what_changes_and_asks(cli, invited, monkeypatch):
    assert join(cli, invited, "bank-a").code == 0
    site, roster = invited / "bank-a" / "SITE.yaml", invited / "roster.yaml"
    application = invited / "bank-a" / "bank-a.application.yaml"
    assert cli("consortium", "enroll", roster, application).code == 0
    monkeypatch.setattr("typer.confirm", lambda _: False)
    ran = cli("institution", "approve", site, roster)
    assert ran.code == 1
    assert "none is pinned yet" in ran.out
    assert "bank-a joins: bank in DE, 6000 records" in ran.out
    assert read_roster_file(roster).roster.digest().hex() in ran.out
    assert read_roster_file(roster).signatures == {}
    one_sentence(cli("institution", "adopt", site, roster), "has not signed")


def test_a_roster_that_waits_for_others_says_for_whom(cli, joined):
    path = joined / "roster-v2.yaml"
    assert cli("consortium", "enroll", joined / "roster.yaml", "--expires", "2999-12-31").code == 0
    ran = cli("institution", "approve", joined / "bank-a" / "SITE.yaml", path, "--yes")
    assert "valid to the end of 2999-12-31, until now of" in ran.out
    assert "not signed yet by bank-b, hospital-c" in ran.out
    one_sentence(cli("institution", "adopt", joined / "bank-a" / "SITE.yaml", path), "is not signed by")
    assert load_roster(joined / "bank-a" / "roster.yaml").version == 1


# --- keys, and leaving


def test_a_new_key_and_a_farewell_go_through_the_next_roster(cli, joined):
    site, node = joined / "bank-a" / "SITE.yaml", joined / "bank-a" / "NODE.yaml"
    assert cli("ledger", "open", site).code == 0
    old = SigningKey.load(joined / "bank-a" / "keys" / "identity.pem")
    ran = cli("institution", "rotate-key", site, "--node", node)
    assert ran.code == 0, ran.err
    assert cli("institution", "leave", joined / "bank-b" / "SITE.yaml").code == 0
    requests = (
        joined / "bank-a" / "bank-a.rotate-v2.application.yaml",
        joined / "bank-b" / "bank-b.leave-v2.application.yaml",
    )
    ran = cli("consortium", "enroll", joined / "roster.yaml", *requests)
    assert ran.code == 0, ran.err
    assert "bank-b leaves" in ran.out
    assert "bank-a: node key" in ran.out
    path = joined / "roster-v2.yaml"
    assert cli("institution", "approve", joined / "hospital-c" / "SITE.yaml", path, "--yes").code == 0
    ran = cli("institution", "approve", site, path, "--yes", "--node", node)
    assert ran.code == 0, ran.err
    new = SigningKey.load(joined / "bank-a" / "keys" / "identity.pem")
    assert new.public != old.public
    with Ledger.read(joined / "bank-a" / "ledger.sqlite", new.public) as ledger:
        assert ledger.keys == (old.public, new.public)
    for key in (old, new):
        verified = cli("ledger", "verify", joined / "bank-a" / "ledger.sqlite", "--key", key.public.hex())
        assert verified.code == 0, verified.err
        assert f"signed by {old.public.hex()}, then by {new.public.hex()}" in verified.out
    out = joined / "export.jsonl"
    assert cli("ledger", "export", site, "--out", out).code == 0
    assert cli("ledger", "verify", out, "--key", old.public.hex()).code == 0
    one_sentence(cli("institution", "approve", joined / "bank-b" / "SITE.yaml", path, "--yes"), "If it has left")


# --- check


@pytest.fixture
def authority(joined) -> Authority:
    """The consortium's CA."""
    return Authority((joined / "c" / "tls" / "ca.pem").read_bytes(), (joined / "c" / "tls" / "ca.key").read_bytes())


def served_tls(joined: Path) -> ServerCertificate:
    tls = joined / "c" / "tls"
    return ServerCertificate(
        (tls / "server.pem").read_bytes(), (tls / "server.key").read_bytes(), (tls / "ca.pem").read_bytes()
    )


def ready(cli, joined: Path) -> tuple[Path, Path]:
    """bank-a with its data and its ledger."""
    own = joined / "bank-a"
    pyarrow.csv.write_csv(load_uci().slice(0, 6000), own / "rows.csv")
    assert cli("ledger", "open", own / "SITE.yaml").code == 0
    return own / "SITE.yaml", own / "NODE.yaml"


def at_port(node: Path, port: int) -> Path:
    node.write_text(re.sub(r"^superlink: \S+", f"superlink: 127.0.0.1:{port}", node.read_text(), flags=re.MULTILINE))
    return node


def results(out: str) -> dict[str, str]:
    return dict(re.findall(r"^ ?(\S[\w ]*?) {2,}(ok|FAIL|skipped) ", out, flags=re.MULTILINE))


def test_a_site_that_is_ready_passes_every_check(cli, joined, tmp_path):
    site, node = ready(cli, joined)
    with https(tmp_path, served_tls(joined)) as port:
        ran = cli("institution", "check", site, at_port(node, port))
    assert ran.code == 0, ran.out
    found = results(ran.out)
    assert len(found) == 15
    assert {name for name, result in found.items() if result != "ok"} == {"custodian"}
    assert found["custodian"] == "skipped"


def test_one_fault_is_one_row_and_exit_code_1(cli, joined, tmp_path):
    site, node = ready(cli, joined)
    now = datetime.now(UTC)
    foreign = make_server_certificate(make_authority("foreign", now), ("127.0.0.1",), now)
    with https(tmp_path, foreign) as port:
        ran = cli("institution", "check", site, at_port(node, port))
    assert ran.code == 1
    assert [name for name, result in results(ran.out).items() if result == "FAIL"] == ["TLS"]
    assert "1 of 15 checks failed: TLS" in ran.out


def test_without_a_node_file_no_network_is_touched(cli, joined):
    site, _ = ready(cli, joined)
    ran = cli("institution", "check", site)
    assert ran.code == 0, ran.out
    assert results(ran.out)["network"] == "skipped"


def test_before_the_roster_comes_the_check_says_what_to_do(cli, invited):
    assert join(cli, invited, "bank-a").code == 0
    ran = cli("institution", "check", invited / "bank-a" / "SITE.yaml")
    assert ran.code == 1
    assert {"roster", "ledger", "data"} == {name for name, result in results(ran.out).items() if result == "FAIL"}
    assert "fedcredit institution approve SITE.yaml" in " ".join(ran.out.split())


def test_a_checked_site_is_one_that_a_custodian_loads(cli, joined):
    site, node = ready(cli, joined)
    loaded = load_site(load_site_file(site))
    assert (
        loaded.roster.member("bank-a").node_key
        == load_node_file(node).node_key.with_name("node.pub").read_text().strip()
    )
