"""The registry decides whether a package decides: from the next decision on, and whatever is done to the files."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.errors import ConfigError, LedgerError
from fedcredit.package.contents import HEAD, MODEL
from fedcredit.package.storage import load_package, write_package
from fedcredit.registry.artifact import read_artifact
from fedcredit.registry.entries import new_entry
from fedcredit.registry.gate import Gate
from fedcredit.registry.registry import Move, models_of, record
from fedcredit.registry.states import State
from fedcredit.registry.storage import append, read_entries
from fedcredit.scoring.batch import Wanted, score_table
from fedcredit.scoring.card import card_of
from fedcredit.scoring.service import Decider
from tests import packages
from tests.fedcredit.registry.conftest import NOW


@pytest.fixture
def packed(office):
    """The office's model is a package, as one file."""
    shutil.rmtree(office.model)
    write_package(packages.files(), office.folder / "model.zip")
    (office.folder / "model.zip").rename(office.model)
    return load_package(office.model)


def test_a_folder_and_a_zip_file_are_one_package(office, packed):
    write_package(packages.files(), office.folder / "folder")
    found = [read_artifact(path).lineage for path in (office.model, office.folder / "folder")]
    assert [one["package"] for one in found] == [packed.digest] * 2
    assert [one["model"] for one in found] == [packed.model_hash] * 2


def test_a_package_decides_while_it_is_approved_and_not_before_or_after(office, packed):
    office.to("draft")
    gate = Gate(office.path, packed)
    for state, by in (
        ("draft", ""),
        ("sandbox", "vera"),
        ("approved", "abel"),
        ("suspended", "dora"),
        ("retired", "abel"),
    ):
        if by:
            office.move(state, by)
        if state == "approved":
            gate()
            continue
        with pytest.raises(ConfigError, match=f"the model cards is {state} in registry cards"):
            gate()


def test_a_suspension_counts_from_the_next_decision(office, packed):
    office.to("approved")
    gate = Gate(office.path, packed)
    decider = Decider(card_of(load_package(office.model), "bank"), permitted=gate)
    decider.decide([("c", {"age": 30.0})])
    office.move("suspended", "dora")
    with pytest.raises(ConfigError, match="suspended"):
        decider.decide([("c", {"age": 30.0})])
    office.move("approved", "abel")
    decider.decide([("c", {"age": 30.0})])


def test_suspended_bytes_do_not_go_on_under_another_name(office, packed):
    office.to("approved")
    office.to("approved", "cards-2")
    gate = Gate(office.path, packed)
    gate()
    office.move("suspended", "dora")
    with pytest.raises(ConfigError, match="cards is suspended"):
        gate()


def test_a_suspension_of_the_watched_run_stops_the_package(office, packed):
    """Monitoring judges the run's folder; customers are decided on by the package of its model."""
    office.to("approved")
    run = office.folder / "run"
    run.mkdir()
    (run / MODEL).write_bytes(packages.files()[MODEL])
    for state, by in (("draft", "dora"), ("sandbox", "vera"), ("approved", "abel")):
        path = run if state == "draft" else None
        record(office.file, office.keys[by], Move("run", State(state), "x"), NOW, path)
    gate = Gate(office.path, packed)
    gate()
    office.move("suspended", "dora", "run")
    with pytest.raises(ConfigError, match="the model run is suspended"):
        gate()


def test_an_approved_run_approves_no_package_of_it(office, packed):
    """Scale and joint view are the packer's words."""
    files = packages.files()
    office.model.unlink()
    office.model.mkdir()
    (office.model / MODEL).write_bytes(files[MODEL])
    office.to("approved")
    with pytest.raises(ConfigError, match="under no name"):
        Gate(office.path, packed)()


def test_other_bytes_are_under_no_name(office, packed):
    office.to("approved")
    with pytest.raises(ConfigError, match="under no name"):
        Gate(office.path, replace(packed, digest="ab" * 32))()


def test_a_registry_that_went_back_stops_whoever_has_seen_more(office, packed):
    office.to("approved")
    older = office.file.registry.read_bytes()
    gate = Gate(office.path, packed)
    gate()
    office.move("suspended", "dora")
    with pytest.raises(ConfigError, match="suspended"):
        gate()
    office.file.registry.write_bytes(older)
    with pytest.raises(ConfigError, match="was cut back or exchanged"):
        gate()


@pytest.fixture
def settled(monkeypatch):
    """Files count as long unchanged, as they do two seconds after a change."""
    monkeypatch.setattr("fedcredit.registry.gate._SETTLED_NS", -(10**18))


@pytest.mark.usefixtures("settled")
def test_an_unchanged_registry_is_read_once_and_a_changed_one_again(office, packed, monkeypatch):
    office.to("approved")
    gate = Gate(office.path, packed)
    gate()
    with monkeypatch.context() as closed:
        closed.setattr("fedcredit.registry.gate.read_entries", lambda _: pytest.fail("it was read again"))
        gate()
    office.move("suspended", "dora")
    for _ in range(2):
        with pytest.raises(ConfigError, match="suspended"):
            gate()
    office.move("approved", "abel")
    gate()


@pytest.mark.usefixtures("settled")
def test_a_change_in_sqlites_own_side_file_is_seen(office, packed):
    office.to("approved")
    with closing(sqlite3.connect(office.file.registry)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        # While somebody reads, what is new stays beside the file.
        assert connection.execute("SELECT COUNT(*) FROM entry").fetchone() == (3,)
        gate = Gate(office.path, packed)
        gate()
        office.move("suspended", "dora")
        with pytest.raises(ConfigError, match="suspended"):
            gate()


def test_a_damaged_registry_stops_everything(office, packed):
    office.to("approved")
    gate = Gate(office.path, packed)
    gate()
    office.file.registry.write_text("no registry at all, and long enough to be looked at as one " * 20)
    with pytest.raises(ConfigError, match="nothing is decided: registry"):
        gate()
    office.file.registry.unlink()
    with pytest.raises(ConfigError, match="was cut back or exchanged"):
        gate()


def test_entries_of_a_registry_for_trying_out_do_not_count_in_another(office, packed):
    """The same people, who approve anything there."""
    office.write(name="playground")
    office.to("approved")
    office.write()
    with pytest.raises(LedgerError, match="signed for the registry 'playground', not for 'cards'"):
        models_of(office.file)
    with pytest.raises(ConfigError, match="nothing is decided"):
        Gate(office.path, packed)()


def test_a_developer_cannot_sign_one_package_s_bytes_as_another_s(office, packed):
    """Not by the command, which works both out of the same bytes, but by an entry made by hand."""
    artifact = read_artifact(office.model)
    key, lineage = office.keys["dora"], {**artifact.lineage, "package": "ab" * 32}
    values = {"registry": "cards", "model": "cards", "to": "draft", "reason": "x", "path": str(office.model)}
    values |= {"sha256": artifact.sha256, "lineage": lineage, "by": "dora", "key": key.public.hex()}
    values |= {"at": NOW.isoformat(), "registry_file": office.file.digest()}
    append(office.file.registry, lambda entries: new_entry(key, values, entries[-1] if entries else None))
    assert len(read_entries(office.file.registry)) == 1
    with pytest.raises(ConfigError, match="bytes have changed"):
        office.move("sandbox", "vera")


def test_a_package_that_does_not_hold_is_not_entered(office):
    shutil.rmtree(office.model)
    write_package(packages.files(), office.model)
    content = json.loads((office.model / MODEL).read_text())
    content["intercepts"]["bank"] += 1
    (office.model / MODEL).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="is not the file that was packed"):
        office.move("draft", "dora")
    (office.model / MODEL).unlink()
    with pytest.raises(ConfigError, match=rf"holds {HEAD} and no {MODEL}"):
        record(office.file, office.keys["dora"], Move("cards", State.DRAFT, "x"), NOW, office.model)


def test_the_commands_that_decide_ask_the_registry(cli, office, packed, tmp_path):
    values = packages.odd_values(3, 4)
    pq.write_table(pa.table(values), tmp_path / "rows.parquet")
    score = ("score", office.model, tmp_path / "rows.parquet", "--view", "bank", "--registry", office.path, "--out")
    office.to("draft")
    for command in (
        (*score, tmp_path / "a.parquet"),
        ("serve", office.model, "--view", "bank", "--registry", office.path),
    ):
        ran = cli(*command)
        assert (ran.code, "cards is draft in registry cards, not yet approved" in ran.err) == (1, True)
    assert not (tmp_path / "a.parquet").exists()
    office.move("sandbox", "vera")
    office.move("approved", "abel")
    assert cli(*score, tmp_path / "a.parquet").code == 0
    table = TableSource(pa.table(values))
    gate, card = Gate(office.path, packed), card_of(packed, "bank")
    gate()
    office.move("suspended", "dora")
    with pytest.raises(ConfigError, match="suspended"):
        score_table(card, table, None, tmp_path / "b.parquet", Wanted(permitted=gate))
    assert not (tmp_path / "b.parquet").exists()
