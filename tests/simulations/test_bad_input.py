"""Bad input to a simulation: one sentence with the remedy, exit code 1, and nothing left on disk."""

import copy
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from fedcredit.custodian.custodian import Custodian
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import FedcreditError, JobError
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_entries import Account
from simulations import simulate
from simulations.command import main
from simulations.federation import custodian_of
from simulations.present import Silence
from simulations.settings import read_settings
from simulations.simulation import compose_config, run_config
from tests import own_table, tiny

ROOT = Path(__file__).resolve().parents[2]
N_ROWS = 200


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return own_table.write(tmp_path_factory.mktemp("own") / "table.csv", own_table.rows(N_ROWS))


def one_sentence(text: str, *words: str) -> None:
    assert "\n" not in text
    assert "  " not in text
    assert all(word in text for word in words), text


def refused(folder: Path, overrides: list[str]) -> str:
    before = sorted(folder.rglob("*"))
    with pytest.raises(FedcreditError) as error:
        simulate([*overrides, f"run.dir={folder / 'run'}"])
    assert sorted(folder.rglob("*")) == before
    return str(error.value)


COMPOSED = {
    "nonsense=1": "'nonsense'",
    "privacy.epsilom=1": "'privacy.epsilom'",
    "privacy=weak": "auto distributed local none",
    "privacy.epsilon=[1": "cannot be composed",
    "privacy.epsilon=1,2": "--multirun",
    "data=file data.dictionary=x.yaml": "data.path has no value",
    "privacy=none privacy.epsilon=1": "remove them",
    "privacy=distributed federation.banks=1 federation.hospitals=1": "needs 3 institutions or more, got 2",
    "privacy=distributed privacy.colluders=5": "needs 7 institutions or more, got 6",
    "masks=on federation.banks=1 federation.hospitals=1": "masks=on needs 3 institutions or more, got 2",
    "model=mlp kernel=compiled runtime=loopback": "kernel=compiled is not for custodians of runtime=loopback",
    "kernel=torch runtime=loopback": "kernel=torch is not for custodians of runtime=loopback",
    # Nothing would read them.
    "data.path=mine.csv": "data.path=mine.csv is for data=file",
    "data.dictionary=mine.yaml": "data.dictionary=mine.yaml is for data=file",
    "data=uci_credit_flat +data.later_months=6": "data.later_months=6 is for data=synthetic",
    "+data.population.persons=9": "is for data=synthetic",
    "data=synthetic federation.split=column": "federation.split=column is for a table",
    "federation.alpha=0.1": "federation.alpha=0.1 is for federation.split=dirichlet",
    "federation.split_column=age": "federation.split_column=age is for federation.split=column",
    "linked.customers=insurer": "linked.customers=insurer is for linked=rows",
    "network.latency_ms=200": "network.latency_ms=200.0 is for runtime=cohort",
    "events.poison_factor=5": "events.poison_factor=5 is for events.poisoner above 0",
    "sweep.address=auto": "sweep.address=auto is for sweep.launcher=ray",
    "kernel=compiled device=cpu": "device=cpu is for kernel=torch, not for kernel=compiled",
}
VALUES = {
    # Refused by a key's type or range.
    "privacy.epsilon=abc": "privacy.epsilon='abc'",
    "privacy.epsilon=.inf": "privacy.epsilon='.inf'",
    "privacy.epsilon=true": "privacy.epsilon=True",
    "privacy.delta=abc": "privacy.delta='abc'",
    "privacy.unit=persons": "'record' or 'person'",
    "privacy.shares.train=0": "privacy.shares.train=0",
    "federation.banks=-1": "federation.banks=-1",
    "federation.hospitals=1.5": "valid integer",
    "federation.split=random": "'iid', 'dirichlet' or 'column'",
    "federation.alpha=0": "federation.alpha=0",
    "federation.alpha=nan": "federation.alpha=nan",
    "seed=-1": "seed=-1",
    "seed=1.5": "valid integer",
    "seed=4294967296": "seed=4294967296",
    "noise.seed=abc": "noise.seed='abc'",
    "noise.seed=true": "noise.seed=True",
    "compare=maybe": "valid boolean",
    "runtime=cloud": "'in_process', 'cohort', 'flower' or 'loopback'",
    "kernel=fast": "'numpy', 'compiled' or 'torch'",
    "device=gpu": "'auto', 'cpu' or 'cuda'",
    "run.dir=7": "run.dir=7",
    "data.path=7": "data.path=7",
    "evaluation.groupings=type": "valid list",
    # Refused for what it would mean.
    "privacy.epsilon=nan": "epsilon=nan",
    "privacy.epsilon=inf": "epsilon=inf",
    "privacy.epsilon=-1": "epsilon=-1",
    "privacy.epsilon=0": "epsilon=0",
    "privacy.epsilon=null": "or privacy=none",
    "privacy.delta=0": "delta=0",
    "privacy.delta=nan": "delta=nan",
    f"privacy.delta={1 / N_ROWS}": f"for N={N_ROWS}",
    "privacy.placement=remote": "choose auto, distributed, local or central",
    "privacy.placement=null": "privacy.placement=None",
    "masks=maybe": "'auto', 'on' or 'off'",
    "masks=false": "masks=False",
    "privacy.max_records_per_person=2": "unit: person",
    "privacy.max_records_per_person=0": "privacy.max_records_per_person=0",
    "privacy.colluders=-1": "privacy.colluders=-1",
    "privacy.max_attempts=0": "privacy.max_attempts=0",
    "model.rounds=0": "model.rounds=0",
    "model.rounds=many": "model.rounds='many'",
    "model.family=oracle": "oracle",
    "evaluation.score_bins=0": "evaluation.score_bins=0",
    "evaluation.groupings=[]": "groupings must begin with",
}
# Refused only where the table, the dictionary or the whole plan is known.
LATER = {
    "privacy.epsilon=1e6": "noise",
    "privacy.shares.train=90": "sum to at most 100",
    "evaluation.groupings=[type,hair]": "'hair'",
    "federation.banks=0 federation.hospitals=0": "not both 0",
    "federation.banks=100 federation.hospitals=100": "institutions got no training row; use fewer",
    "federation.split=column": "federation.split_column",
    "federation.split=column federation.split_column=hair": "hair",
    "federation.split=column federation.split_column=sex": "has 2 values for 6 institutions",
}


@pytest.fixture(scope="module")
def composed() -> dict:
    return compose_config([])


@pytest.mark.parametrize("overrides", COMPOSED)
def test_a_bad_override(overrides) -> None:
    with pytest.raises(FedcreditError) as error:
        read_settings(compose_config(overrides.split()), N_ROWS)
    one_sentence(str(error.value), COMPOSED[overrides])


@pytest.mark.parametrize("override", VALUES)
def test_a_bad_value(composed, override) -> None:
    """Read by Hydra's own grammar and put in its place; composing anew for each would take ten times as long."""
    config = copy.deepcopy(composed)
    parsed = OverridesParser.create().parse_override(override)
    *above, key = parsed.key_or_group.split(".")
    branch = config
    for name in above:
        branch = branch[name]
    branch[key] = parsed.value()
    with pytest.raises(FedcreditError) as error:
        read_settings(config, N_ROWS)
    one_sentence(str(error.value), VALUES[override])


@pytest.mark.parametrize("overrides", LATER)
def test_a_setting_that_does_not_fit(tmp_path, table, overrides) -> None:
    one_sentence(refused(tmp_path, [*own_table.overrides(table), *overrides.split()]), LATER[overrides])


def test_a_folder_that_is_taken_is_refused_first(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    text = refused(tmp_path, own_table.overrides(tmp_path / "none.csv"))
    one_sentence(text, "exists already", "choose a new folder")


def test_a_folder_that_cannot_be_made(tmp_path, table) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FedcreditError) as error:
        simulate([*own_table.overrides(table), "++model.rounds=1", f"run.dir={tmp_path / 'file' / 'run'}"])
    one_sentence(str(error.value), "cannot be made", "choose another")


# --- the table


def without(column):
    return lambda rows: rows.drop_columns([column])


def with_values(column, make):
    return lambda rows: own_table.changed(rows, column, [make(row) for row in range(rows.num_rows)])


def with_labels(table, every, value):
    labels = table.column("default").to_pylist()
    return own_table.changed(table, "default", [value if row % every == 0 else b for row, b in enumerate(labels)])


TABLES = {
    "a missing column": (without("age"), "the column 'age' is missing"),
    "a missing label": (without("default"), "the column 'default' is missing"),
    "a missing id": (without("id"), "the column 'id' is missing"),
    "text for numbers": (with_values("age", lambda row: f"old-{row}"), "cannot be read as numbers"),
    "a label that is neither": (
        lambda rows: with_labels(rows, 10, 2),
        "20 of 200 labels are neither good (0) nor bad (1)",
    ),
    "one label only": (lambda rows: with_labels(rows, 1, 1), "every labelled row is bad"),
    "no label at all": (lambda rows: with_labels(rows, 1, None), "200 of 200 labels"),
    "no rows": (lambda rows: rows.slice(0, 0), "has no rows"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table(tmp_path, case) -> None:
    spoil, words = TABLES[case]
    suffix = ".csv" if len(case) % 2 else ".parquet"
    path = own_table.write(tmp_path / f"table{suffix}", spoil(own_table.rows(N_ROWS)))
    problems = refused(tmp_path, own_table.overrides(path)).split("\n")
    assert any(words in problem for problem in problems), problems
    # A wrong type is told from its consequence; nothing else has more than one problem.
    assert len(problems) <= (2 if case == "text for numbers" else 1)


def test_an_empty_file(tmp_path) -> None:
    (tmp_path / "table.csv").touch()
    one_sentence(refused(tmp_path, own_table.overrides(tmp_path / "table.csv")), "is empty; export it again")


def test_a_file_of_another_format(tmp_path) -> None:
    (tmp_path / "table.parquet").write_text("id,default\n1,0\n")
    one_sentence(refused(tmp_path, own_table.overrides(tmp_path / "table.parquet")), "is not a Parquet file")


def test_a_column_of_another_type(tmp_path) -> None:
    dates = own_table.rows(N_ROWS).column("age").cast("int32").cast("date32")
    path = own_table.write(tmp_path / "t.parquet", own_table.changed(own_table.rows(N_ROWS), "age", dates.to_pylist()))
    one_sentence(refused(tmp_path, own_table.overrides(path)), "'age' has type date32", "convert it")


def test_duplicate_ids_where_a_person_is_protected(tmp_path) -> None:
    doubled = own_table.changed(own_table.rows(N_ROWS), "id", [row // 2 for row in range(N_ROWS)])
    path = own_table.write(tmp_path / "table.csv", doubled)
    text = refused(tmp_path, [*own_table.overrides(path), "privacy.unit=person"])
    one_sentence(text, "100 persons have more than 1 rows", "raise max_records_per_person")


def test_too_few_rows_of_a_class(tmp_path) -> None:
    labels = [int(row == 0) for row in range(N_ROWS)]
    path = own_table.write(tmp_path / "table.csv", own_table.changed(own_table.rows(N_ROWS), "default", labels))
    one_sentence(refused(tmp_path, own_table.overrides(path)), "give more rows of both classes")


def test_no_record_is_quoted(tmp_path) -> None:
    secret = with_values("age", lambda row: f"secret-{row}")(own_table.rows(N_ROWS))
    path = own_table.write(tmp_path / "table.csv", with_labels(secret, 5, 777))
    text = refused(tmp_path, own_table.overrides(path))
    assert "secret" not in text
    assert "777" not in text


def test_a_dictionary_without_the_type(tmp_path, table) -> None:
    text = own_table.DICTIONARY.read_text(encoding="utf-8").replace("  hospital:", "  clinic:", 1)
    (tmp_path / "d.yaml").write_text(text, encoding="utf-8")
    told = refused(tmp_path, [*own_table.overrides(table), f"data.dictionary={tmp_path / 'd.yaml'}"])
    one_sentence(told, "no institution type 'hospital'", "set federation.hospitals=0")


# --- inside a job


def refused_at_join(custodians, consortium) -> str:
    driver = tiny.coordinator(consortium)
    with pytest.raises(JobError) as error:
        tiny.run(driver, custodians)
    assert driver.progress.next_phase == "join"
    return str(error.value)


def test_a_budget_that_is_exceeded_at_join() -> None:
    consortium = tiny.federation()
    custodians = tiny.custodians(consortium, tiny.spec())
    poor = Account("bank-2", "record", GaussianAccountant.for_target(1.0, 1e-5))
    custodians["bank-2"] = Custodian(custodians["bank-2"]._site, Ledger.create(None, consortium.keys["bank-2"], poor))
    text = refused_at_join(custodians, consortium)
    one_sentence(text, "bank-2: budget", "smaller epsilon or fewer rounds")
    assert "bank-1:" not in text
    assert custodians["bank-2"].ledger.committed() == 0


def test_dictionaries_that_differ() -> None:
    consortium = tiny.federation()
    custodians = tiny.custodians(consortium, tiny.spec())
    other = parse_dictionary(tiny.DICTIONARY.replace(b"range: [18, 80]", b"range: [18, 81]"))
    custodians["hospital-1"] = custodian_of(
        replace(consortium, dictionary=other), consortium.institutions[2], tiny.spec(), None
    )
    one_sentence(refused_at_join(custodians, consortium), "hospital-1: dictionary", "exchange the file")


@pytest.mark.parametrize("kept", [0, 1, -9])
@pytest.mark.parametrize("foreign", [b"", b"\x13foreign" * 9])
def test_replies_that_are_truncated_or_foreign(kept, foreign) -> None:
    consortium = tiny.federation()
    custodians = tiny.custodians(consortium, tiny.spec())
    driver = tiny.coordinator(consortium)
    requests = driver.next_step().requests
    replies = {name: custodians[name].handle(request) for name, request in requests.items()}
    with pytest.raises(JobError) as error:
        driver.receive({**replies, "bank-1": replies["bank-1"][:kept] + foreign})
    one_sentence(str(error.value), "join has 2 of 3 institutions (bank-1: ", "resume the job")


def test_a_run_that_fails_midway_leaves_nothing(tmp_path, table) -> None:
    """Ledgers and job store are already on disk when a later step fails."""
    written = []

    class Interrupts(Silence):
        def decided(self, decided, progress) -> None:  # noqa: ARG002  (the audience's signature)
            if decided.phase == "train":
                written.extend(path.name for path in tmp_path.rglob("*"))
                raise JobError("the operator stopped the job; start it again.")

    overrides = [*own_table.overrides(table), "++model.rounds=1", f"run.dir={tmp_path / 'run'}"]
    with pytest.raises(JobError, match="operator"):
        run_config(compose_config(overrides), 0.0, Interrupts())
    assert {"job.sqlite", "bank-1.sqlite"} <= set(written)
    assert list(tmp_path.iterdir()) == []


# --- the command


def run_main(capsys, monkeypatch, tmp_path, *arguments: object) -> str:
    """What the command says on standard error when it ends with exit code 1; Python prints a text as the code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["simulations", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    done = capsys.readouterr()
    print(done.out, end="")  # for the test, too
    if isinstance(stop.value.code, str):
        return stop.value.code
    assert stop.value.code == 1
    return done.err.rstrip("\n")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("nonsense=1", "'nonsense'"),
        ("privacy.epsilon=-1", "epsilon=-1"),
        ("data=file", "data.dictionary has no value"),
    ],
)
def test_the_command_says_it_in_one_sentence(capsys, monkeypatch, tmp_path, overrides, words) -> None:
    text = run_main(capsys, monkeypatch, tmp_path, overrides)
    assert text.startswith("error: ")
    one_sentence(text, words)
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_every_problem_of_a_table(capsys, monkeypatch, tmp_path) -> None:
    path = own_table.write(tmp_path / "t.csv", own_table.rows(N_ROWS).drop_columns(["age", "sex"]))
    lines = run_main(capsys, monkeypatch, tmp_path, *own_table.overrides(path)).split("\n")
    assert len(lines) == 2
    assert all(line.startswith("problem: the column ") for line in lines)


def test_a_sweep_with_an_unusable_point_runs_nothing(capsys, monkeypatch, tmp_path, table) -> None:
    sweep = (*own_table.overrides(table), "privacy.epsilon=1,-1,2", "++model.rounds=1", f"run.dir={tmp_path / 's'}")
    one_sentence(run_main(capsys, monkeypatch, tmp_path, "-m", *sweep), "error: run 1 of the sweep: ", "epsilon=-1")
    assert not (tmp_path / "s").exists()
    assert capsys.readouterr().out == "sweep: 3 points, 0 of them finished before\n"


def test_a_sweep_over_an_unknown_key_runs_nothing(capsys, monkeypatch, tmp_path, table) -> None:
    text = run_main(capsys, monkeypatch, tmp_path, "-m", *own_table.overrides(table), "nonsense=1,2")
    one_sentence(text, "'nonsense'")
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.rglob("*.json"))


def test_a_process_of_its_own_ends_with_1_and_one_line(tmp_path, table) -> None:
    command = [sys.executable, "-m", "simulations", *own_table.overrides(table), "privacy.epsilon=nan"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
