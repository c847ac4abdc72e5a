"""The registry on disk: chained, signed, append-only, about bytes that do not change."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.registry.artifact import read_artifact
from fedcredit.registry.registry import Move, models_of, record
from fedcredit.registry.states import State
from fedcredit.registry.storage import read_entries
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_models_life_is_a_chain_of_signed_entries(office):
    office.to("retired")
    model = models_of(office.file)["cards"]
    assert [entry["to"] for entry in model.history] == ["draft", "sandbox", "approved", "suspended", "retired"]
    assert [entry["by"] for entry in model.history] == ["dora", "vera", "abel", "dora", "abel"]
    assert (model.standing.developer, model.standing.validator) == ("dora", "vera")
    assert {entry["registry_file"] for entry in model.history} == {office.file.digest()}


def test_models_do_not_mix(office):
    office.to("approved")
    office.to("draft", "cards-2")
    assert [(name, one.standing.state.value) for name, one in models_of(office.file).items()] == [
        ("cards", "approved"),
        ("cards-2", "draft"),
    ]
    with pytest.raises(ConfigError, match="cannot become draft"):
        office.move("draft", "dora")


def test_a_stranger_or_the_wrong_role_writes_nothing(office):
    office.to("draft")
    with pytest.raises(ConfigError, match="nobody's"):
        record(office.file, SigningKey.generate(), Move("cards", State.SUSPENDED, "x"), NOW)
    with pytest.raises(ConfigError, match="no validator"):
        office.move("sandbox", "abel")
    assert len(read_entries(office.file.registry)) == 1


def test_owner_and_tier_stand_in_the_first_entry_and_stay(office):
    draft = Move("cards", State.DRAFT, "first", owner="retail risk", tier=2)
    record(office.file, office.keys["dora"], draft, NOW, office.model)
    office.move("sandbox", "vera")
    model = models_of(office.file)["cards"]
    assert (model.owner, model.tier, model.history[0]["tier"]) == ("retail risk", 2, 2)
    with pytest.raises(ConfigError, match="tier 4 is none of 1 to 3"):
        record(office.file, office.keys["dora"], Move("other", State.DRAFT, "x", tier=4), NOW, office.model)


@pytest.mark.parametrize("change", ["changed", "added", "renamed"])
def test_changed_bytes_come_into_no_use(office, change):
    office.to("draft")
    if change == "changed":
        (office.model / "receipts" / "a.json").write_text("2")
    elif change == "added":
        (office.model / "more").write_text("")
    else:
        (office.model / "receipts" / "a.json").rename(office.model / "receipts" / "b.json")
    with pytest.raises(ConfigError, match="bytes have changed"):
        office.move("sandbox", "vera")
    assert models_of(office.file)["cards"].standing.state is State.DRAFT


def test_a_model_is_files_only(office, tmp_path):
    with pytest.raises(ConfigError, match="name a model"):
        read_artifact(tmp_path / "nothing")
    (office.model / "link").symlink_to(office.model / "model.json")
    with pytest.raises(ConfigError, match="no plain file"):
        read_artifact(office.model)


def raw(path, statement, *values, guarded=False):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not guarded:
            connection.execute("DROP TRIGGER entry_stays")
            connection.execute("DROP TRIGGER entry_remains")
        connection.execute(statement, values)


def test_the_file_itself_refuses_changes(office):
    office.to("sandbox")
    for statement in ("UPDATE entry SET body = x'00'", "DELETE FROM entry"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            raw(office.file.registry, statement, guarded=True)


def tampered(office, number, **changes):
    """Change an entry's words and leave its signature."""
    entry = read_entries(office.file.registry)[number - 1]
    body = canonical_json({**entry.values, **changes})
    raw(office.file.registry, "UPDATE entry SET body = ? WHERE number = ?", body, number)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda office: tampered(office, 3, reason="other"), "not signed"),
        (lambda office: tampered(office, 2, reason="other"), "not signed"),
        (lambda office: raw(office.file.registry, "DELETE FROM entry WHERE number = 2"), "does not hold"),
        (lambda office: raw(office.file.registry, "DELETE FROM entry WHERE number = 1"), "does not hold"),
        (
            lambda office: raw(office.file.registry, "UPDATE entry SET body = x'7b7d' WHERE number = 1"),
            "cannot be read",
        ),
        (lambda office: raw(office.file.registry, "UPDATE entry SET signature = zeroblob(64)"), "not signed"),
    ],
)
def test_a_changed_registry_is_noticed_and_nothing_is_added(office, change, words):
    office.to("approved")
    change(office)
    with pytest.raises(LedgerError, match=words):
        models_of(office.file)
    with pytest.raises(LedgerError, match=words):
        office.move("suspended", "dora")


def test_roles_that_were_given_up_prove_old_entries_and_make_no_new_one(office):
    office.to("approved")
    people = office.file.model_dump(mode="json")["people"]
    people["abel"] = {"key": people["abel"]["key"], "roles": [], "former_roles": ["approver"]}
    office.write(people=people)
    assert models_of(office.file)["cards"].standing.state is State.APPROVED
    for state in ("retired", "suspended"):
        with pytest.raises(ConfigError, match="former roles only"):
            office.move(state, "abel")
    people["abel"]["roles"] = ["developer"]
    office.write(people=people)
    with pytest.raises(ConfigError, match="no approver"):
        office.move("retired", "abel")
    del people["abel"]
    office.write(people=people)
    with pytest.raises(LedgerError, match="abel"):
        models_of(office.file)


def test_two_at_once_are_one_after_the_other(office):
    office.to("draft")
    names = [f"cards-{number}" for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: office.move("draft", "dora", name), names))
    assert sorted(models_of(office.file)) == ["cards", *names]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people": {}}, "at least 1"),
        ({"thresholds": {"calibration_slope": [1.1, 1.3]}}, "band around 1"),
        ({"thresholds": {"psi": 0}}, "psi"),
        ({"thresholds": {"surprise": 1}}, "surprise"),
    ],
)
def test_a_mistaken_registry_file_is_named(office, changes, words):
    office.write(**changes)
    with pytest.raises(ConfigError, match=words):
        _ = office.file


def test_one_key_is_one_person_and_the_file_is_unshared(office):
    people = office.file.model_dump(mode="json")["people"]
    office.write(people={**people, "vera": people["dora"]})
    with pytest.raises(ConfigError, match="same key"):
        _ = office.file
    office.write()
    office.path.chmod(0o666)
    with pytest.raises(ConfigError, match="writable by others"):
        _ = office.file
