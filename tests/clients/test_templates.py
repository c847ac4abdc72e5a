"""The files that an institution copies must be what the custodian reads."""

import re
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pytest
from typer.main import get_command

from fedcredit.cli import app
from fedcredit.custodian.jurisdiction import Approval, CrossBorder
from fedcredit.custodian.policy import Policy, load_policy
from fedcredit.custodian.site_file import load_site_file
from fedcredit.data.quantise import quantise_table
from fedcredit.data.sources import TableSource
from fedcredit.data.uci import load_uci, uci_dictionary
from fedcredit.dictionary.check import examine_table
from fedcredit.dictionary.mapping import Mapping, identity_mapping, load_mapping
from fedcredit.errors import ConfigError
from fedcredit.node_file import Timeouts, load_node_file
from fedcredit.plan import Placement, PrivacyUnit

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
KINDS = ("bank", "hospital")
BLANK = "<64 hex digits>"


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def copied(kind, tmp_path):
    """The folder as an institution has it, with the one blank filled in."""
    for name in ("SITE.yaml", "policy.yaml", "mapping.yaml"):
        text = (CLIENTS / kind / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(BLANK, f'"{"0a" * 32}"'), encoding="utf-8")
        (tmp_path / name).chmod(0o644)
    return tmp_path


def own_table(mapping: Mapping, original: pa.Table) -> pa.Table:
    """The public table in the words and units of an institution with this mapping."""
    columns = {}
    for feature, entry in mapping.features.items():
        own = {code: word for word, code in entry.codes.items() if code is not None}
        values = original.column(feature).to_pylist()
        columns[entry.column] = [own.get(str(value), str(round(value / entry.scale))) for value in values]
    labels = {0: mapping.target.good, 1: mapping.target.bad}
    columns[mapping.target.column] = [
        labels[bad][row % len(labels[bad])] for row, bad in enumerate(original.column("default").to_pylist())
    ]
    columns[mapping.id_column] = [f"A{value}" for value in original.column("id").to_pylist()]
    return pa.table(columns)


def test_the_site_template_is_a_site(kind, copied):
    site = load_site_file(copied / "SITE.yaml")
    assert site.kind == kind
    assert site.institution.startswith(kind)
    assert site.policy == copied / "policy.yaml"
    assert site.not_private is None
    assert site.data.path == copied / "data" / ("customers.parquet" if kind == "bank" else "invoices.parquet")


def test_an_unfilled_site_is_refused(kind):
    with pytest.raises(ConfigError, match="coordinators") as refused:
        load_site_file(CLIENTS / kind / "SITE.yaml")
    assert BLANK in str(refused.value)


def test_the_node_template_is_a_node_that_has_reviewed_nothing(kind):
    node = load_node_file(CLIENTS / kind / "NODE.yaml")
    assert node.superlink == "consortium.example:9443"
    assert node.custodian == str(CLIENTS / kind / "custodian.sock")
    assert (node.bundles, node.timeouts) == ((), Timeouts())


def test_the_node_template_s_options_parse(kind, tmp_path):
    text = (CLIENTS / kind / "NODE.yaml").read_text(encoding="utf-8")
    (tmp_path / "NODE.yaml").write_text(re.sub(r"^# (proxy|relay_token): ", r"\1: ", text, flags=re.MULTILINE))
    node = load_node_file(tmp_path / "NODE.yaml")
    assert node.proxy == f"http://proxy.{kind}.example:3128"
    assert node.relay_token == tmp_path / "keys" / "relay.token"


def test_the_templates_list_of_modules_parses(copied):
    text = (copied / "SITE.yaml").read_text(encoding="utf-8")
    assert load_site_file(copied / "SITE.yaml").modules == {}
    (copied / "SITE.yaml").write_text(re.sub(r"^# (modules: )", r"\1", text, flags=re.MULTILINE), encoding="utf-8")
    assert load_site_file(copied / "SITE.yaml").modules == {"credit_models:ResidualNet": "0a" * 32}
    (copied / "SITE.yaml").write_text(text + '\nmodules: {"credit_models": "0a"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="modules"):
        load_site_file(copied / "SITE.yaml")


@pytest.mark.parametrize("source", ["kind: csv", "kind: sql"])
def test_the_other_sources_of_the_template_parse(kind, copied, source):
    text = (copied / "SITE.yaml").read_text(encoding="utf-8")
    kept = re.sub(r"^data:\n(  .*\n)+", "", text, flags=re.MULTILINE)
    other = re.sub(rf"^# (data: \{{{source})", r"\1", kept, flags=re.MULTILINE)
    (copied / "SITE.yaml").write_text(other, encoding="utf-8")
    assert load_site_file(copied / "SITE.yaml").data.kind == source.removeprefix("kind: ")


def test_the_policy_template_promises_what_its_words_say(copied):
    policy = load_policy(copied / "policy.yaml")
    assert "sensitive-health" in policy.refused_classes
    assert policy.placements == (Placement.LOCAL, Placement.DISTRIBUTED)
    assert (policy.min_institutions, policy.min_owners, policy.max_drops) == (3, 3, 1)
    assert not policy.assume_no_colluders
    assert policy.unit is PrivacyUnit.RECORD
    assert policy.max_epsilon_per_job <= policy.epsilon <= 1.0
    assert policy.delta <= 1e-6
    assert policy.require_basis
    assert (policy.approval, policy.cross_border) == (Approval.AUTOMATIC, CrossBorder.REFUSE)


def test_the_rules_that_the_policy_template_leaves_to_its_reader_can_be_switched_on(copied):
    path = copied / "policy.yaml"
    text = path.read_text(encoding="utf-8")
    chosen = re.sub(
        r"^# ((?:jurisdiction|working_hours|timezone|regions|cross_border_basis):|  - \{days)",
        r"\1",
        text,
        flags=re.MULTILINE,
    )
    chosen = chosen.replace("cross_border: refuse", "cross_border: recorded").replace("unit: record ", "unit: person ")
    path.write_text(chosen, encoding="utf-8")
    policy = load_policy(path)
    assert policy.jurisdiction == "eu"
    assert policy.approval is Approval.MANUAL
    assert policy.working_hours is not None
    assert (policy.timezone, policy.regions) == ("Europe/Berlin", ("DE", "FR"))
    assert policy.cross_border is CrossBorder.RECORDED


def test_every_field_of_a_policy_stands_in_the_template_and_in_its_page(kind):
    template = (CLIENTS / kind / "policy.yaml").read_text(encoding="utf-8")
    page = (CLIENTS.parent / "docs" / "policy.md").read_text(encoding="utf-8")
    for name in Policy.model_fields:
        assert re.search(rf"^(?:# )?{name}:", template, flags=re.MULTILINE), name
        assert f"`{name}`" in page, name


def test_the_mapping_template_turns_its_institutions_table_into_the_dictionarys_cells(kind, copied):
    dictionary, original = uci_dictionary(), load_uci().slice(0, 2000)
    mapping = load_mapping(copied / "mapping.yaml")
    own = own_table(mapping, original)
    findings = examine_table(dictionary, kind, mapping, TableSource(own))
    assert findings.problems == ()
    expected = quantise_table(dictionary, kind, identity_mapping(dictionary, kind), original)
    found = quantise_table(dictionary, kind, mapping, own)
    assert np.array_equal(found.cells, expected.cells)
    assert np.array_equal(found.bad, expected.bad)
    assert found.takes_part.all()


def test_the_check_list_names_commands_that_exist_in_order(kind):
    text = (CLIENTS / kind / "CHECKLIST.md").read_text(encoding="utf-8")
    named = re.findall(r"`fedcredit ([\w-]+) ([\w-]+)", text)
    assert named == [
        ("institution", "init"),
        ("dictionary", "check"),
        ("institution", "approve"),
        ("institution", "adopt"),
        ("ledger", "open"),
        ("institution", "check"),
        ("institution", "dry-run"),
        ("custodian", "serve"),
        ("jobs", "list"),
        ("jobs", "show"),
        ("jobs", "approve"),
        ("jobs", "deny"),
        ("ledger", "show"),
        ("roster", "stop"),
        ("roster", "deliver"),
        ("consortium", "enroll"),
        ("institution", "rotate-key"),
        ("institution", "leave"),
    ]
    program = get_command(app)
    context = click.Context(program)
    for group, command in named:
        found = program.get_command(context, group)
        assert found is not None, group
        assert found.get_command(context, command) is not None, (group, command)


def test_the_ways_to_the_custodian_can_be_uncommented(copied):
    """Group, token, loopback port and metrics port are in the file, each as a line of its own."""
    text = (copied / "SITE.yaml").read_text(encoding="utf-8")
    assert load_site_file(copied / "SITE.yaml").relay_token is None
    ways = r"^# (socket_group|relay_token|loopback_port|metrics_port): "
    text, count = re.subn(ways, r"\1: ", text, flags=re.MULTILINE)
    assert count == 4
    (copied / "SITE.yaml").write_text(text, encoding="utf-8")
    site = load_site_file(copied / "SITE.yaml")
    assert (site.socket_group, site.loopback_port, site.metrics_port) == ("fedcredit-relay", 9095, 9096)
    assert site.relay_token == copied / "keys" / "relay.token"
