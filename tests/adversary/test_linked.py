"""Attacks on linked rows: by the institution that offers, the one that joins, a thief, an insider and a coordinator."""

import os
import resource
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
import yaml

from fedcredit.audit.lines import BEFORE_FIRST
from fedcredit.cli import linked as commands
from fedcredit.custodian.site_file import SiteFile, load_site_file
from fedcredit.data.rows import Dataset, single
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError, LedgerError, WireError
from fedcredit.key_files import load_pair_key
from fedcredit.linked import consenting, offer_file, tables
from fedcredit.linked.dictionary import linked_dictionary
from fedcredit.linked.in_use import require_usable
from fedcredit.linked.log import link_log_of
from fedcredit.linked.offer import OfferUse, make_offer, new_terms
from fedcredit.linked.person import person_hashes
from fedcredit.linked.released import model_hash
from fedcredit.models.joint_bins import JointBins
from fedcredit.models.joint_layout import layout
from fedcredit.models.joint_spec import COUNT_SCALE
from fedcredit.privacy.ledger import Ledger
from fedcredit.provisioning.check_site import SiteCheck
from fedcredit.provisioning.new_files import write_file
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, load_roster, sign_roster, write_roster_file
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.messages import Role
from simulations.federation import Institution, found
from tests import linked_rows, tiny
from tests.adversary import mutants
from tests.adversary.decoder import Truth, strip
from tests.adversary.players import Attacker
from tests.fedcredit.linked.conftest import PURPOSE, TOKEN, consenting_dictionary


def offered(pair, base_job, sender: str, steps: tuple[int, ...], number: int = 1) -> offer_file.Offer:
    """What an institution of the roster can sign with its own key: any score of anybody, here of ann, bob and eve."""
    use = OfferUse(
        sender=sender,
        receiver="bank-1",
        dictionary=consenting_dictionary().digest().hex(),
        model=model_hash(base_job.released).hex(),
        purpose=PURPOSE,
    )
    terms = new_terms(use, date(2999, 1, 1), replace(BEFORE_FIRST, number=number - 1))
    named = person_hashes(load_pair_key(pair.pair_key), bytes.fromhex(terms.salt), sender, "bank-1", PERSONS)
    return make_offer(terms, named, np.array(steps))


PERSONS = (b"ann", b"bob", b"eve")


def names(path) -> set[bytes]:
    return set(pa_parquet.read_table(path).column("person").to_pylist())


def test_two_stolen_offers_are_compared(pair, offer, monkeypatch):
    """Were the hashes the same in both, whoever lacks the key would see how a person's number changed."""
    assert not names(offer("one.parquet")[0]) & names(offer("two.parquet")[0])
    monkeypatch.setattr(tables, "person_hashes", lambda key, _, *rest: person_hashes(key, b"", *rest))
    assert names(offer("three.parquet")[0]) == names(offer("four.parquet")[0])


def test_a_bank_poses_as_a_hospital(pair, base_job, table, monkeypatch):
    """bank-2 knows no patient. Its numbers would be weighed as a hospital's, and move everybody's λ."""
    path = pair.bank.folder / "offer.parquet"
    offer_file.write_offer(path, offered(pair, base_job, "bank-2", (16, 16, 16)), base_job.keys["bank-2"])
    out, ran = table(path, sender="bank-2")
    assert "a bank owns no block that a bank lacks" in ran.err
    assert not out.exists()
    monkeypatch.setattr(commands, "added_blocks", mutants.nothing)
    assert table(path, sender="bank-2")[1].code == 0


def test_a_hospital_signs_a_score_out_of_range(pair, base_job, table, monkeypatch):
    """-2^63 has no absolute value among 64-bit integers: a check of |score| alone lets it pass."""
    out, ran = _signed_by_hand(pair, base_job, table)
    assert "is no offer of linked rows" in ran.err
    assert not out.exists()
    monkeypatch.setattr(offer_file, "_SCHEMA", pa.schema([("person", pa.binary(32)), ("steps", pa.int64())]))
    out, ran = _signed_by_hand(pair, base_job, table)
    assert ran.code == 0, ran.err
    assert min(pa_parquet.read_table(out).column("other_block").to_pylist()) < -1e18


def _signed_by_hand(pair, base_job, table):
    made = replace(offered(pair, base_job, "hospital-1", (0, 1, 2)), steps=np.array([-(2**63), 1, 2]))
    metadata = {
        b"fedcredit.offer.terms": offer_file.encode_terms(made.terms),
        b"fedcredit.offer.signature": made.signature(base_job.keys["hospital-1"]).hex().encode(),
    }
    columns = {"person": pa.array(made.persons, pa.binary(32)), "steps": pa.array(made.steps, pa.int64())}
    path = pair.bank.folder / "by-hand.parquet"
    pa_parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return table(path)


def test_an_offer_is_damaged_on_purpose(pair, offer):
    """Every byte that a thief can change: it is refused in one sentence, or says what it said."""
    path, _ = offer()
    data, hospital = path.read_bytes(), load_roster(pair.bank.folder / "roster.yaml").member("hospital-1")
    use = OfferUse(**{name: getattr(offer_file._read(path)[0].terms, name) for name in OfferUse.model_fields})
    key, true = bytes.fromhex(hospital.public_key), offer_file._read(path)[0]
    generator, refused = np.random.default_rng(7), 0
    for place in generator.choice(len(data), 80, replace=False).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        try:
            found = offer_file.open_offer(path, key, use, date(2026, 1, 1))
        except (ConfigError, WireError):
            refused += 1
        else:
            assert found.hash == true.hash
    assert refused > 25
    for length in (0, 4, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(WireError):
            offer_file.open_offer(path, key, use, date(2026, 1, 1))


@pytest.mark.parametrize("side", ["hospital", "bank"])
def test_who_has_withdrawn_stands_in_an_older_row(pair, offer, table, monkeypatch, side):
    if side == "hospital":
        rows = ("id,age,paid,bad,consent", f"ann,30,5000,0,{TOKEN}", "ann,31,5000,0,withdrawn", f"bob,50,0,1,{TOKEN}")
    else:
        rows = ("id,age,status,bill,bad,consent", f"ann,30,0,500,0,{TOKEN}", "ann,30,0,500,0,", f"bob,50,3,9,1,{TOKEN}")

    def link():
        path, ran = offer(f"{len(list(pair.hospital.folder.iterdir()))}.parquet")
        return ran if side == "hospital" else table(path)[1]

    getattr(pair, side).rows(*rows)
    ran = link()
    assert ran.code == 1
    assert "1 persons have rows with a consent token that allows linking and rows without" in ran.err
    monkeypatch.setattr(consenting, "_require_of_one_mind", mutants.nothing)
    ran = link()
    assert ran.code == 0, ran.err
    assert ("2 persons for bank-1" if side == "hospital" else "2 linked rows") in ran.out


def test_a_person_stands_in_several_rows_of_the_bank(pair, offer, table, monkeypatch):
    """Under unit record the noise covers one of them, and the hospital's number would stand in all."""
    rows = [f"bob,50,{status},9000,1,{TOKEN}" for status in (1, 2, 3)]
    pair.bank.rows("id,age,status,bill,bad,consent", *rows)
    path, _ = offer()
    assert "1 linked persons stand in several rows, which the policy's unit 'record'" in table(path)[1].err
    with monkeypatch.context() as off:
        off.setattr(tables, "_require_one_unit", mutants.nothing)
        assert "3 linked rows" in table(path)[1].out
    policy = pair.bank.folder / "policy.yaml"
    per_person = {**yaml.safe_load(policy.read_text()), "unit": "person", "max_records_per_person": 2}
    policy.write_text(yaml.safe_dump(per_person))
    assert "3 linked rows" in table(path, name="persons.parquet")[1].out  # of which its custodian keeps two


def test_a_hospital_offers_one_person_and_waits(pair, offer, table):
    """That linked rows take part in a job would tell it that this person is a customer of the bank."""
    pair.hospital.rows("id,age,paid,bad,consent", f"ann,30,5000,0,{TOKEN}")
    path, _ = offer()
    out, ran = table(path, fewest=commands.FEWEST_PERSONS)
    assert "fewer than --fewest 50" in ran.err
    assert not out.exists()
    assert not link_log_of(pair.bank.ledger).exists()
    assert "1 linked rows" in table(path, fewest=1)[1].out


@pytest.mark.parametrize("left", [0, 1])
def test_an_insider_cuts_the_log_of_links(pair, offer, table, monkeypatch, left):
    """The chain of what is left holds. The bank's log still names the line that is gone."""
    for number in (1, 2):
        path, _ = offer(f"{number}.parquet")
        assert table(path, name=f"{number}.parquet")[1].code == 0
    log = link_log_of(pair.hospital.ledger)
    kept = log.read_bytes().splitlines(keepends=True)[:left]
    log.write_bytes(b"".join(kept)) if kept else log.unlink()
    path, again = offer("again.parquet")
    assert again.code == 0, again.err
    out, ran = table(path)
    assert f"hospital-1 says that two offers are line {left + 1} of its log of links" in ran.err
    assert not out.exists()
    monkeypatch.setattr(commands, "require_latest", mutants.nothing)
    assert table(path)[1].code == 0


def test_a_partner_stays_in_a_roster_that_has_expired(pair, base_job, offer, table):
    path, _ = offer()
    for party in (pair.bank, pair.hospital):
        roster = load_roster(party.folder / "roster.yaml")
        over = Roster.model_validate({**roster.model_dump(mode="json"), "expires": "2020-01-01"})
        signed = {name: sign_roster(over, key) for name, key in base_job.keys.items()}
        write_roster_file(party.folder / "roster.yaml", SignedRoster(over, signed))
    for out, ran in (offer("late.parquet"), table(path)):
        assert "was valid until 2020-01-01" in ran.err
        assert not out.exists()


def test_an_insider_offers_for_a_purpose_of_their_own(pair, offer, monkeypatch):
    path, ran = offer(purpose="marketing")
    assert "purpose 'marketing' is not among those of policy" in ran.err
    assert not path.exists()
    assert not link_log_of(pair.hospital.ledger).exists()
    monkeypatch.setattr(commands, "_require_purpose", mutants.nothing)
    assert offer(purpose="marketing")[1].code == 0


def linked_site(pair, base_job, **changes: object) -> SiteFile:
    """The bank's SITE.yaml of the linked job, over the rows that it joined last."""
    linked = linked_dictionary(consenting_dictionary(), "bank", "hospital", model_hash(base_job.released))
    (pair.bank.folder / "linked.yaml").write_text(yaml.safe_dump(linked.model_dump(mode="json"), sort_keys=False))
    site = yaml.safe_load(pair.bank.site.read_text())
    site |= {"dictionary": "linked.yaml", "data": {"kind": "parquet", "path": "linked.parquet"}, **changes}
    (pair.bank.folder / "LINKED.yaml").write_text(yaml.safe_dump(site))
    (pair.bank.folder / "LINKED.yaml").chmod(0o644)
    return load_site_file(pair.bank.folder / "LINKED.yaml")


def start(pair, file: SiteFile, today: date = date(2026, 11, 30), model: bytes | None = None) -> None:
    """What a custodian does with linked rows when it starts."""
    dictionary = load_dictionary(file.dictionary)
    if model is not None:
        dictionary = linked_dictionary(consenting_dictionary(), "bank", "hospital", model)
    with Ledger.read(file.ledger, pair.bank.key.public) as ledger:
        require_usable(dictionary, file.data, file.ledger, ledger, pair.bank.key.public, today)


def test_the_linked_job_gets_a_ledger_of_its_own(pair, base_job, cli, offer, table):
    """Two ledgers would be two budgets for the same persons."""
    table(offer()[0])
    start(pair, linked_site(pair, base_job))
    with pytest.raises(LedgerError, match="share one budget"):
        start(pair, linked_site(pair, base_job), model=bytes(32))
    second = linked_site(pair, base_job, ledger="second.sqlite")
    assert cli("ledger", "open", pair.bank.folder / "LINKED.yaml").code == 0
    ran = cli("custodian", "serve", pair.bank.folder / "LINKED.yaml")
    assert "no job of this ledger released it; name the base job's population and ledger" in ran.err
    assert "so that both jobs share one budget" in SiteCheck(second, None, date(2026, 11, 30))._ledger_row().text


def test_an_offer_expires_between_table_and_job(pair, base_job, offer, table):
    table(offer(expires="9998-12-31")[0])
    start(pair, linked_site(pair, base_job), date(9998, 12, 31))
    with pytest.raises(ConfigError, match="an offer in these linked rows expired on 9998-12-31; make them anew"):
        start(pair, linked_site(pair, base_job), date(9999, 1, 1))


def test_an_insider_edits_linked_rows(pair, base_job, offer, table):
    """Somebody who never consented is put among them, or a score is changed to see what the job says of it."""
    out, _ = table(offer()[0])
    rows = pa_parquet.read_table(out)
    pa_parquet.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), out)
    csv = {"kind": "csv", "path": "rows.csv"}
    for file in (linked_site(pair, base_job), linked_site(pair, base_job, data=csv)):
        with pytest.raises(ConfigError, match="has no linked rows like those that SITE"):
            start(pair, file)


def test_files_of_links_are_left_open_or_half_written(pair, offer, table):
    umask = os.umask(0)
    try:
        path, ran = offer()
        out, joined = table(path)
    finally:
        os.umask(umask)
    assert (ran.code, joined.code) == (0, 0)
    written = [path, out, pair.pair_key, *(link_log_of(party.ledger) for party in (pair.bank, pair.hospital))]
    assert {file.stat().st_mode & 0o777 for file in written} == {0o600}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(ConfigError, match="cannot be written"):
            write_file(pair.bank.folder / "half.parquet", out.read_bytes(), secret=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (pair.bank.folder / "half.parquet").exists()
    (pair.bank.folder / "link.parquet").symlink_to(pair.bank.folder / "elsewhere")
    assert "nothing is overwritten" in table(path, name="link.parquet")[1].err
    assert not (pair.bank.folder / "elsewhere").exists()


def test_a_score_and_bins_single_out_one_person():
    """A hospital gives one person a score that nobody else has, and the coordinator a bin for that score alone.

    All other banks are the coordinator's. What is left is one cell of one record, under the charged noise of the bank.
    """
    spec, plan = linked_rows.job(tiny.LOCAL), layout(linked_rows.job().model, linked_rows.dictionary())
    crowd = linked_rows.rows(400, 1)
    cells, bad = crowd.cells.copy(), crowd.bad.copy()
    cells[:, 1] = np.minimum(cells[:, 1], 31)
    cells[0, 1], bad[0] = 32, 1
    victims = Institution("bank-1", "bank", Dataset("bank", single(cells, bad), crowd, bytes(32)))
    banks = (victims, *(linked_rows.institution(f"bank-{seed}", 400, seed) for seed in (2, 3)))
    attacker = Attacker(found(linked_rows.dictionary(), banks, spec), ["bank-2", "bank-3"]).start()
    attacker.ask_all()
    bins = JointBins(np.zeros(len(plan.own_values), np.int64), np.arange(len(plan.other_values)) // 32 % 2)
    attacker.ask_all(Role.TRAIN, round=1, model=bins.encode())
    packet, truth = attacker.view.packets[-1], Truth(attacker.honest)
    exact = truth.exact(packet).view(np.int64).reshape(plan.shape)
    alone = exact[0, 1].sum(axis=0)
    assert alone.tolist() == [0, COUNT_SCALE]  # without noise the label is there to be read
    noise = (strip(attacker.view, packet) - truth.exact(packet)).view(np.int64)
    planned = truth.share(packet) ** 0.5
    assert np.std(noise) == pytest.approx(planned, rel=0.15)
    assert planned > COUNT_SCALE
    assert len(attacker.honest["bank-1"].ledger.charges(attacker.plan.digest())) == 2


def test_a_person_is_offered_twice_with_different_scores(pair, base_job, table):
    """In one offer, in two on one line of the hospital's log, or in two of which the bank would choose."""
    scores = {"first": (-16, 1), "second": (16, 2), "forked": (0, 1)}
    paths = {name: pair.bank.folder / f"{name}.parquet" for name in (*scores, "twice")}
    for name, (score, number) in scores.items():
        made = offered(pair, base_job, "hospital-1", (score, score, score), number)
        offer_file.write_offer(paths[name], made, base_job.keys["hospital-1"])
    twice = replace(made, persons=made.persons[:1] + made.persons[:1], steps=np.array([-16, 16]))
    offer_file.write_offer(paths["twice"], twice, base_job.keys["hospital-1"])
    assert "is no offer of linked rows" in table(paths["twice"])[1].err
    assert "two offers are line 1 of its log" in table(paths["first"], paths["forked"])[1].err
    for order in (("first", "second"), ("second", "first")):
        assert "has made a later offer for this use, line 2" in table(*(paths[name] for name in order))[1].err
    out, _ = table(paths["second"])
    rows = pa_parquet.read_table(out).to_pylist()
    assert sorted((row["id"], row["other_block"]) for row in rows) == [(one.decode(), 4.0) for one in PERSONS]


def test_an_earlier_offer_is_used_after_somebody_withdrew(pair, offer, table, monkeypatch):
    """bob withdraws at the hospital, which offers anew. The offer with him has not expired."""
    early, _ = offer("early.parquet")
    pair.hospital.rows("id,age,paid,bad,consent", f"ann,30,5000,0,{TOKEN}", "bob,50,0,1,")
    late, _ = offer("late.parquet")
    assert "1 linked rows" in table(late)[1].out
    out, ran = table(early, name="again.parquet")
    assert "has made a later offer for this use, line 2 of its log of links, and this one is line 1" in ran.err
    assert not out.exists()
    monkeypatch.setattr(commands, "require_latest", mutants.nothing)
    assert table(early, name="again.parquet")[1].code == 0
    assert "bob" in pa_parquet.read_table(out).column("id").to_pylist()


def test_another_roster_member_signs_for_the_hospital(pair, base_job, table):
    """A stolen pair key names persons; it does not sign."""
    path = pair.bank.folder / "offer.parquet"
    for key in (base_job.keys["bank-2"], SigningKey.generate()):
        offer_file.write_offer(path, offered(pair, base_job, "hospital-1", (1, 2, 3)), key)
        assert "is not signed by 'hospital-1'" in table(path)[1].err
        path.unlink()
