"""The whole link on two institutions' own consoles: who enters, what the bank ends up with, and who is charged."""

import hashlib
import json
from datetime import date

import numpy as np
import pyarrow.parquet as pa_parquet
import yaml

from fedcredit.audit.lines import BEFORE_FIRST
from fedcredit.audit.reading import check, lines_of
from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.data.quantise import quantise_table
from fedcredit.data.sources import TableSource, open_source, spec_of
from fedcredit.dictionary.mapping import identity_mapping
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.linked.consenting import Holder
from fedcredit.linked.dictionary import OTHER_STEP
from fedcredit.linked.log import link_log_of
from fedcredit.linked.offer import Offer, OfferUse, make_offer, new_terms
from fedcredit.linked.person import person_hashes
from fedcredit.linked.tables import linked_table
from simulations.joint_view import cells_of
from tests.fedcredit.linked.conftest import PURPOSE, TOKEN


def test_only_who_consents_at_both_is_linked(pair, offer, table):
    path, offered = offer()
    assert offered.code == 0, offered.err
    assert "7 persons for bank-1" in offered.out  # gus gave no token; eve has two rows
    out, joined = table(path)
    assert joined.code == 0, joined.err
    rows = {row["id"]: row for row in pa_parquet.read_table(out).to_pylist()}
    assert set(rows) == {"ann", "bob", "eve", "fay"}
    assert [rows[name]["file"] for name in ("ann", "eve")] == ["thick", "thin"]
    assert [rows[name]["bad"] for name in ("ann", "bob", "eve", "fay")] == [0, 1, 1, None]
    assert all((row["other_block"] / OTHER_STEP).is_integer() for row in rows.values())
    assert rows["bob"]["other_block"] > rows["ann"]["other_block"]  # who paid nothing is the worse risk


def test_nobody_without_a_token_is_in_the_offer(pair, offer):
    pair.hospital.rows("id,age,paid,bad,consent", "ann,30,5000,0,", "bob,50,0,1,yes")
    path, ran = offer()
    assert ran.code == 1
    assert "no row has a consent token" in ran.err
    assert not path.exists()
    assert not link_log_of(pair.hospital.ledger).exists()


def test_a_dictionary_without_consent_links_nobody(pair, offer):
    file = pair.hospital.folder / "dictionary.yaml"
    contract = yaml.safe_load(file.read_text())
    del contract["institution_types"]["hospital"]["consent"]
    file.write_text(yaml.safe_dump(contract, sort_keys=False))
    _, ran = offer()
    assert "declares no consent column for a hospital" in ran.err


def test_another_pair_key_finds_nobody(pair, offer, table, cli, folder):
    assert cli("linked", "key", folder / "other.key").code == 0
    _, ran = table(offer()[0], key=folder / "other.key")
    assert ran.code == 1
    assert "no consenting customer is in the offers" in ran.err


def test_an_offer_is_not_replayed(pair, offer, table, released):
    path, _ = offer()
    assert "is for purpose" in table(path, purpose="another purpose")[1].err
    for_other, _ = offer("other.parquet", to="bank-2")
    assert "is for receiver 'bank-2'" in table(for_other)[1].err
    changed = {**released, "intercepts": {**released["intercepts"], "bank": 7}}

    pair.model.write_text(json.dumps(changed))
    assert "was not released by any job" in table(path)[1].err


def test_a_model_that_no_job_released_scores_nobody(pair, offer, released):
    """A made-up model could spell out records in what it scores."""
    spelled = {**released, "intercepts": {**released["intercepts"], "bank": 7}}
    pair.model.write_text(json.dumps(spelled))
    path, ran = offer()
    assert "was not released by any job in ledger" in ran.err
    assert not path.exists()
    pair.hospital.ledger.unlink()
    assert offer()[1].code == 1
    for text, said in (("[]", "holds no model"), ("{", "is not JSON")):
        pair.model.write_text(text)
        assert said in offer()[1].err


def test_an_expired_offer_is_neither_made_nor_used(offer, table, monkeypatch):
    assert "is over" in offer(expires="2020-01-01")[1].err
    path, _ = offer(expires="9998-12-31")
    monkeypatch.setattr("fedcredit.cli.linked._today", lambda: date(9999, 1, 1))
    assert "expired on 9998-12-31" in table(path)[1].err


def test_both_sides_write_it_down_before_it_is_there(pair, offer, table, cli):
    path, _ = offer()
    joined, _ = table(path)
    offer("second.parquet")
    said = []
    for party in (pair.hospital, pair.bank):
        log = link_log_of(party.ledger)
        assert check(log, party.key.public).lines == (2 if party is pair.hospital else 1)
        lines = list(lines_of(log))
        said += [(line.values["event"], line.values["persons"], line.values["purpose"]) for line in lines]
        assert cli("audit", "verify", log).code == 0
    assert said == [("linked offer", 7, PURPOSE)] * 2 + [("linked table", 7, PURPOSE)]
    assert lines[-1].values["table"] == hashlib.sha256(joined.read_bytes()).hexdigest()
    log = link_log_of(pair.hospital.ledger)
    log.write_bytes(log.read_bytes().replace(b'"persons":7', b'"persons":5', 1))
    third, ran = offer("third.parquet")
    assert "does not hold" in ran.err
    assert not third.exists()


def holder_of(party, source=None) -> Holder:
    """A party's table as its commands read it, or another one."""
    file = load_site_file(party.site)
    contract = load_dictionary(file.dictionary)
    mapping = identity_mapping(contract, file.kind)
    return Holder(contract, file.kind, mapping, source or open_source(file.data), "id", "record")


def an_offer(sender: str, names: tuple[bytes, ...], steps: tuple[int, ...]) -> tuple[Offer, bytes]:
    """An offer with a key of its own."""
    use = OfferUse(sender=sender, receiver="bank-1", dictionary="00" * 32, model="00" * 32, purpose=PURPOSE)
    terms = new_terms(use, date.max, BEFORE_FIRST)
    persons = person_hashes(sender.encode(), bytes.fromhex(terms.salt), sender, "bank-1", names)
    return make_offer(terms, persons, np.array(steps)), sender.encode()


def test_of_two_hospitals_the_first_named_counts(pair, released):
    offers = [an_offer("hospital-1", (b"ann", b"bob"), (1, 2)), an_offer("hospital-2", (b"ann", b"eve"), (-3, -4))]
    for order, ann in ((offers, 1), (offers[::-1], -3)):
        rows = linked_table(holder_of(pair.bank), released, order, "id", 1).to_pylist()
        assert {row["id"]: row["other_block"] / OTHER_STEP for row in rows} == {"ann": ann, "bob": 2, "eve": -4}


def test_a_row_less_at_either_end_changes_no_other(pair, released):
    """The noise covers one record: what others become may not depend on it, nor on what was offered of it."""
    offers = [an_offer("hospital-1", (b"ann", b"bob", b"eve", b"fay"), (1, 2, 3, 4))]
    whole = holder_of(pair.bank).source.read(["id", "age", "status", "bill", "bad", "consent"])
    rows = linked_table(holder_of(pair.bank), released, offers, "id", 1).to_pylist()
    assert len(rows) == 4
    for left_out, name in enumerate(whole.column("id").to_pylist()):
        kept = TableSource(whole.take([place for place in range(whole.num_rows) if place != left_out]))
        found = linked_table(holder_of(pair.bank, kept), released, offers, "id", 1).to_pylist()
        assert found == [row for row in rows if row["id"] != name]
    fewer = [an_offer("hospital-1", (b"ann", b"bob", b"fay"), (1, 2, 4))]
    found = linked_table(holder_of(pair.bank), released, fewer, "id", 1).to_pylist()
    assert found == [row for row in rows if row["id"] != "eve"]


def cells(contract, kind, path) -> np.ndarray:
    """Grid cells of a table's rows, in its order."""
    mapping = identity_mapping(contract, kind)
    return quantise_table(contract, kind, mapping, open_source(spec_of(str(path))).read(list(mapping.columns))).cells


def test_the_table_is_the_linked_jobs_data_with_the_base_jobs_roles(pair, offer, table, cli, released):
    """Who was set aside for evaluation in the base job is in the linked one: the same ids under the same key."""
    names = [f"person-{number}" for number in range(60)]
    bank = [f"{name},30,{number % 9},500,{number % 2},{TOKEN}" for number, name in enumerate(names)]
    pair.bank.rows("id,age,status,bill,bad,consent", *bank)
    patients = [f"{name},30,{number * 100},0,{TOKEN}" for number, name in enumerate(names)]
    pair.hospital.rows("id,age,paid,bad,consent", *patients)
    assert table(offer()[0])[1].code == 0
    made = cli(
        "linked", "dictionary", pair.bank.folder / "dictionary.yaml", pair.model,
        "--kind", "bank", "--other", "hospital", "--out", pair.bank.folder / "linked.yaml",
    )  # fmt: skip
    assert made.code == 0, made.err
    base = load_site(load_site_file(pair.bank.site))
    site = yaml.safe_load(pair.bank.site.read_text())
    site |= {"dictionary": "linked.yaml", "data": {"kind": "parquet", "path": "linked.parquet"}}
    (pair.bank.folder / "LINKED.yaml").write_text(yaml.safe_dump(site))
    linked = load_site(load_site_file(pair.bank.folder / "LINKED.yaml"))
    assert linked.data.train.n_rows == base.data.train.n_rows
    assert linked.data.units.hashes.tolist() == base.data.units.hashes.tolist()
    assert sorted(linked.data.evaluate.bad.tolist()) == sorted(base.data.evaluate.bad.tolist())
    assert linked.dictionary.feature_names == ("own_view", "other_block", "file")
    # A simulation has the same rows as these commands make, in the same cells.
    own, other = (
        cells(base.dictionary, one.name.split("-")[0], one.folder / "rows.csv") for one in (pair.bank, pair.hospital)
    )
    simulated = cells_of(base.dictionary, linked.dictionary, released, "bank", "hospital", own, other)
    np.testing.assert_array_equal(cells(linked.dictionary, "bank", pair.bank.folder / "linked.parquet"), simulated)


def test_strangers_are_told_apart(pair, offer, table, cli):
    assert "'nobody' is not in the roster" in offer(to="nobody")[1].err
    path, _ = offer()
    ran = cli(
        "linked", "table", pair.bank.site, pair.model, path, "--pair-key", "x=y", "--purpose", PURPOSE, "--out", "t"
    )
    assert "add --pair-key hospital-1=FILE" in ran.err
    ran = cli(
        "linked", "table", pair.bank.site, pair.model, path, "--pair-key", "x", "--purpose", PURPOSE, "--out", "t"
    )
    assert "write SENDER=FILE" in ran.err
    assert "no offer of linked rows" in table(pair.bank.folder / "rows.csv")[1].err
    assert load_dictionary(pair.bank.folder / "dictionary.yaml").kinds == ("bank", "hospital")
