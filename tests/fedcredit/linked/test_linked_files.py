"""The linked job's PLAN.yaml and SITE.yaml follow from the base job's, and from no other model's or type's."""

from pathlib import Path

import pytest
import yaml

from fedcredit.custodian.site_file import load_site_file
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import PrivacyError
from fedcredit.linked.budget import split_epsilon
from fedcredit.linked.dictionary import linked_dictionary
from fedcredit.linked.released import model_hash
from fedcredit.plan import PrivacyTerms
from fedcredit.wire.canonical import canonical_json
from server.plan_file import load_plan_file
from simulations.federation import found
from tests import tiny
from tests.fedcredit.linked.conftest import Pair, consenting_dictionary


def run_of(folder: Path, released: dict, privacy: PrivacyTerms = tiny.LOCAL) -> Path:
    """What a base job leaves, as far as a linked job's files depend on it."""
    job = tiny.spec(privacy)
    plan = found(consenting_dictionary(), tiny.federation().institutions, job).plan
    (folder / "plan.json").write_bytes(plan.to_bytes())
    (folder / "model.json").write_bytes(canonical_json(released))
    (folder / "dictionary.yaml").write_text(yaml.safe_dump(consenting_dictionary().model_dump(mode="json")))
    return folder


def write_linked(path: Path, released: dict, kind: str = "bank", other: str = "hospital") -> Path:
    made = linked_dictionary(consenting_dictionary(), kind, other, model_hash(released))
    path.write_text(yaml.safe_dump(made.model_dump(mode="json"), sort_keys=False))
    return path


@pytest.fixture
def plan(cli, folder, released):
    """Draft a plan from a run and a linked dictionary."""

    def make(dictionary: Path, *options: object, privacy: PrivacyTerms = tiny.LOCAL):
        run = run_of(folder, released, privacy)
        given = ("--dictionary", dictionary, "--job", "linked-1", "--out", folder / "PLAN.yaml")
        return cli("linked", "plan", run, *given, *options)

    return make


@pytest.mark.parametrize("kinds", [("bank", "hospital"), ("hospital", "bank")])
def test_the_plan_keeps_the_base_jobs_promise(plan, folder, released, kinds):
    dictionary = write_linked(folder / "linked.yaml", released, *kinds)
    ran = plan(dictionary, "--epsilon", "0.5", "--fit", "one")
    assert ran.code == 0, ran.err
    asked = load_plan_file(folder / "PLAN.yaml")
    assert (asked.model.family, asked.model.fit, asked.privacy.epsilon) == ("joint", "one", 0.5)
    assert asked.dictionary == load_dictionary(dictionary).digest().hex()
    kept = tiny.LOCAL.model_dump(exclude={"epsilon", "reserve_percent"})
    # One hospital is the only owner of its block, to which simulated institutions consent.
    assert asked.privacy.model_dump(exclude={"epsilon"}) == {**kept, "min_owners": 1}
    assert "both jobs together" in ran.out


def test_a_plan_for_another_model_is_refused(plan, folder, released):
    other = {**released, "intercepts": {**released["intercepts"], "bank": 7}}
    ran = plan(write_linked(folder / "linked.yaml", other), "--epsilon", "0.5")
    assert "is not made of the model in" in ran.err
    assert not (folder / "PLAN.yaml").exists()


def test_noise_is_asked_for_where_the_base_job_had_some(plan, folder, released):
    dictionary = write_linked(folder / "linked.yaml", released)
    assert "give --epsilon exactly where there is noise" in plan(dictionary).err
    assert "has placement none" in plan(dictionary, "--epsilon", "1", privacy=tiny.NONE).err
    assert plan(dictionary, privacy=tiny.NONE).code == 0
    assert load_plan_file(folder / "PLAN.yaml").privacy.epsilon is None
    assert "exists" in plan(dictionary, privacy=tiny.NONE).err


def site(cli, pair: Pair, name: str = "LINKED.yaml"):
    given = ("--dictionary", "linked.yaml", "--data", "linked.parquet", "--out", pair.bank.folder / name)
    return cli("linked", "site", pair.bank.site, *given)


def test_the_site_keeps_all_but_dictionary_and_table(cli, pair, released):
    write_linked(pair.bank.folder / "linked.yaml", released)
    assert site(cli, pair).code == 0
    base, linked = (load_site_file(pair.bank.folder / name) for name in ("SITE.yaml", "LINKED.yaml"))
    changed = {name for name, value in base if getattr(linked, name) != value}
    assert changed == {"dictionary", "data"}
    assert linked.data.path == pair.bank.folder / "linked.parquet"


def test_a_site_of_another_type_or_with_declared_roles_is_refused(cli, pair, released):
    write_linked(pair.bank.folder / "linked.yaml", released, "hospital", "bank")
    assert "is for hospital and bank-1 is a bank" in site(cli, pair).err
    write_linked(pair.bank.folder / "linked.yaml", released)
    names = [one.name for one in consenting_dictionary().owned_features("bank")]
    mapping = {"features": {name: {"column": name} for name in names}, "target": {"column": "bad"}}
    split = {"column": "role", "train": ["train"], "evaluate": ["test"]}
    (pair.bank.folder / "mapping.yaml").write_text(yaml.safe_dump({**mapping, "id_column": "id", "split": split}))
    file = yaml.safe_load(pair.bank.site.read_text())
    pair.bank.site.write_text(yaml.safe_dump({**file, "mapping": "mapping.yaml"}))
    assert "who trains and who tests" in site(cli, pair).err
    assert "must lie beside" in site(cli, pair, "../LINKED.yaml").err


def test_rows_are_numbers_of_institutions(cli, pair):
    out = ("--out", pair.bank.folder / "a.yaml", "--after", pair.bank.folder / "b.yaml")
    for rows in ("bank-1", "bank-1=many", "bank-1=-5"):
        ran = cli("linked", "roster", pair.bank.folder / "roster.yaml", "--rows", rows, *out)
        assert "is not ID=NUMBER" in ran.err
    ran = cli("linked", "roster", pair.bank.folder / "roster.yaml", "--rows", "bank-1=50", "--rows", "bank-1=60", *out)
    assert "names one twice" in ran.err


def test_both_jobs_cost_what_one_may():
    assert split_epsilon(1.0, 1e-6, 10) == pytest.approx((0.944822, 0.291199), abs=1e-6)
    with pytest.raises(PrivacyError, match="1 to 99 percent"):
        split_epsilon(1.0, 1e-6, 100)
