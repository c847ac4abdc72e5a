"""Each row of the custodian's side, on real files that are spoilt one by one."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from fedcredit.custodian.site_file import load_site_file
from fedcredit.errors import ConfigError
from fedcredit.node_file import NodeFile
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from fedcredit.provisioning.adoption import public_of
from fedcredit.provisioning.check_site import SiteCheck, load_node_key
from fedcredit.provisioning.checks import Verdict, checked
from fedcredit.provisioning.institution import make_node_key
from fedcredit.wire.envelope import SigningKey
from tests.fedcredit.cli.conftest import Site, cli, site
from tests.fedcredit.privacy.test_ledger import BUDGET

__all__ = ["cli", "site"]

TODAY = date(2026, 5, 4)
OK, FAILED, SKIPPED = Verdict.OK, Verdict.FAILED, Verdict.SKIPPED
TOKEN = "ab" * 32


@pytest.fixture
def node(site) -> NodeFile:
    """The site with a ledger, a token and a node key that its roster pins."""
    made, path = make_node_key(), site.folder / "keys" / "node"
    path.write_bytes(made.private)
    path.chmod(0o600)
    public_of(path).write_text(f"{made.public} a comment\n")
    token = site.folder / "keys" / "relay.token"
    token.write_text(TOKEN)
    token.chmod(0o640)
    site.change("SITE.yaml", relay_token="keys/relay.token")
    site.change_roster(members=members(site, node_key=made.public))
    Ledger.create(site.folder / "ledger.sqlite", site.key(), account(site)).close()
    return NodeFile(
        superlink="127.0.0.1:9443",
        root_certificates=site.folder / "ca.pem",
        node_key=path,
        custodian="c.sock",
        relay_token=token,
        bundles=(),
        state=site.folder,
    )


def account(site: Site, population: str = "bank-1-cards"):
    return Account(population, "record", BUDGET.accountant)


def members(site: Site, **changes: object) -> list[dict]:
    found = yaml.safe_load(site.roster.read_text())["members"]
    return [{**one, **(changes if one["id"] == "bank-1" else {})} for one in found]


def look(site: Site, node: NodeFile | None, today: date = TODAY) -> dict:
    rows = SiteCheck(load_site_file(site.file), node, today).rows()
    names = ["policy", "data", "identity key", "data key", "node key", "roster", "ledger", "token"]
    assert [row.check for row in rows] == names
    return {row.check: row for row in rows}


def failing(rows: dict) -> list[str]:
    return [name for name, row in rows.items() if row.verdict is FAILED]


def test_a_right_site_passes_everything(site, node):
    rows = look(site, node)
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(rows, OK)
    assert TOKEN not in "".join(row.text for row in rows.values())


def test_without_a_node_its_rows_are_skipped(site, node):
    rows = look(site, None)
    assert failing(rows) == []
    assert rows["node key"].verdict is SKIPPED


@pytest.mark.parametrize(
    ("spoil", "row", "words"),
    [
        (lambda s: (s.folder / "policy.yaml").chmod(0o666), "policy", "chmod go-w"),
        (lambda s: s.change("policy.yaml", epsilon=-1), "policy", "epsilon"),
        (lambda s: (s.folder / "rows.csv").unlink(), "data", "rows.csv"),
        (lambda s: (s.folder / "dictionary.yaml").write_text("name: x"), "data", "dictionary"),
        (lambda s: s.key_path.chmod(0o644), "identity key", "chmod 600"),
        (lambda s: (s.folder / "keys" / "data.key").write_text("zz"), "data key", "is not 64 hex digits"),
        (lambda s: (s.folder / "keys" / "node").chmod(0o644), "node key", "chmod 600"),
        (lambda s: (s.folder / "keys" / "node.pub").unlink(), "node key", "ssh-keygen -y -f"),
        (lambda s: (s.folder / "roster.yaml").unlink(), "roster", "institution approve SITE.yaml ROSTER"),
        (lambda s: (s.folder / "roster.yaml").write_text("version: x"), "roster", "version"),
        (lambda s: s.change_roster(members=members(s, node_key=make_node_key().public)), "roster", "another node key"),
        (lambda s: s.change("roster.yaml", expires="2026-06-01"), "roster", "was changed after it was signed"),
        (lambda s: (s.folder / "ledger.sqlite").unlink(), "ledger", "run: fedcredit ledger open SITE.yaml"),
        (lambda s: s.change("SITE.yaml", population="others"), "ledger", "population 'bank-1-cards'"),
        (lambda s: s.change("SITE.yaml", relay_token=None), "token", "only one of SITE.yaml and NODE.yaml"),
        (lambda s: (s.folder / "keys" / "relay.token").write_text("short"), "token", "is not 64 hex digits"),
    ],
)
def test_each_fault_is_a_row_of_its_own_with_a_remedy(site, node, spoil, row, words):
    spoil(site)
    rows = look(site, node)
    assert failing(rows) == [row]
    assert words in rows[row].text


def test_columns_that_drifted_are_named_and_no_value_is(site, node):
    rows = (site.folder / "rows.csv").read_text()
    (site.folder / "rows.csv").write_text(rows.replace("status", "state", 1))
    found = look(site, node)
    assert failing(found) == ["data"]
    assert "status" in found["data"].text
    (site.folder / "rows.csv").write_text(rows + "secret-id,abc,secret-value,9999.5,7\n")
    assert "secret" not in look(site, node)["data"].text


def test_a_roster_that_ends_soon_passes_with_a_word(site, node):
    today = datetime.now(UTC).date()
    site.change_roster(expires=today + timedelta(days=20))
    rows = look(site, node, today)
    assert rows["roster"].verdict is OK
    assert "20 days: have the next version made" in rows["roster"].text


def test_an_older_copy_of_the_ledger_is_seen(site, node):
    with Ledger.open(site.folder / "ledger.sqlite", site.key()) as ledger:
        ledger.note("rolled_back", {"event_count": 9, "event_hash": "00" * 32})
    assert "fedcredit ledger recover" in look(site, node)["ledger"].text


def test_a_change_of_key_that_was_not_finished_is_seen(site, node):
    Ledger.change_key(site.folder / "ledger.sqlite", site.key(), SigningKey.generate())
    assert "finish its change" in look(site, node)["ledger"].text


def test_the_nodes_token_must_be_the_custodians(site, node):
    other = site.folder / "keys" / "other.token"
    other.write_text("cd" * 32)
    other.chmod(0o600)
    rows = look(site, node.model_copy(update={"relay_token": other}))
    assert failing(rows) == ["token"]
    assert "another token" in rows["token"].text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no key", "no OpenSSH key"),
        (make_node_key().private, "is not the public half"),
    ],
)
def test_a_node_key_that_is_none_or_anothers_is_refused(site, node, content, words):
    node.node_key.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load_node_key(node.node_key)


def test_what_this_account_may_not_read_is_skipped_and_a_lost_disk_is_not():
    def closed() -> str:
        raise PermissionError(13, "Permission denied", "/keys/node")

    def lost() -> str:
        raise OSError(5, "Input/output error", "/keys/node")

    assert checked("node key", closed).verdict is SKIPPED
    assert checked("node key", lost).verdict is FAILED
    assert "/keys/node failed (Input/output error)" in checked("node key", lost).text


def test_a_missing_node_key_names_its_maker():
    with pytest.raises(ConfigError, match="institution init"):
        load_node_key(Path("/nowhere/node"))
