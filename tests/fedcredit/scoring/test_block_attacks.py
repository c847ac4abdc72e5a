"""Two-institution scoring against a bank, a hospital, a clock and an insider that mean ill."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
import yaml

from fedcredit.errors import ConfigError, RefusalError, WireError
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_messages import Outcome, person_hash, seal_answer, seal_question, token_hash
from fedcredit.scoring.block_service import BlockService, require_few_values
from fedcredit.scoring.consents import Consent, ConsentFile, change_consents, read_consents
from fedcredit.scoring.listening import Listen
from fedcredit.scoring.peer_client import Asking, PeerClient
from fedcredit.scoring.peers_file import Answering, Peer, PerPerson, load_peers
from tests import packages
from tests.fedcredit.scoring.hospital import NOW, PAIR, PURPOSE, TOKENS, Hospital, true_steps


@pytest.fixture
def hospital(tmp_path):
    one = Hospital(tmp_path, PerPerson(requests=2, days=30))
    yield one
    one.book.close()


def nonces(count):
    return [bytes([n]) * 16 for n in range(count)]


# Repeated and adaptive questions.


def test_the_same_question_again_says_nothing_new(tmp_path):
    hospital = Hospital(tmp_path, PerPerson(requests=20))
    assert {hospital.ask(nonce=nonce) for nonce in nonces(3)} == {(Outcome.ANSWERED, true_steps(hospital))}
    hospital.book.close()


def test_many_connections_and_processes_share_one_limit(hospital):
    """Threads of two answerers with a connection each: two answers, whoever comes first."""
    with BlockAudit(hospital.file.audit) as second:
        other = replace(hospital.answerer, book=second)
        asked = [seal_question(hospital.bank, hospital.question(nonce=nonce)) for nonce in nonces(8)]
        answerers = [hospital.answerer, other] * 4
        with ThreadPoolExecutor(8) as pool:
            outcomes = [
                out for _, out in pool.map(lambda pair: pair[0].answer(pair[1]), zip(answerers, asked, strict=True))
            ]
    assert (outcomes.count(Outcome.ANSWERED), outcomes.count(Outcome.LIMIT)) == (2, 6)


def test_one_question_on_many_connections_is_answered_once(hospital):
    question = seal_question(hospital.bank, hospital.question())

    def ask(answerer):
        try:
            return answerer.answer(question)[1].name
        except RefusalError as error:
            return error.code

    with BlockAudit(hospital.file.audit) as second, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, [hospital.answerer, replace(hospital.answerer, book=second)] * 4))
    assert sorted(found) == ["ANSWERED", *["replay"] * 7]


def test_a_package_with_finer_numbers_than_the_hospital_lets_out_is_not_served(tmp_path):
    answering = Answering(consents=tmp_path, data={"kind": "csv", "path": "x"})
    wide = packages.package(joint=packages.JOINT.model_copy(update={"limit": 64, "step": 64}))
    require_few_values(packages.package(), answering)
    with pytest.raises(ConfigError, match=r"up to ±64, and this institution answers up to ±12 \(4\.6 bits"):
        require_few_values(wide, answering)
    require_few_values(wide, answering.model_copy(update={"largest_number": 64}))


def test_one_institution_under_two_names_has_no_second_limit(tmp_path):
    peer = {"public_key": "a" * 64, "pair_key": "k", "purposes": [PURPOSE]}
    values = {"institution": "hospital-1", "identity_key": "i", "audit": "b", "peers": {"bank-1": peer, "bank-2": peer}}
    path = tmp_path / "PEERS.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match="bank-1 and bank-2 have the same public key"):
        load_peers(path)


def test_a_crash_between_row_and_answer_costs_a_question_and_never_gives_one(tmp_path, monkeypatch):
    hospital = Hospital(tmp_path, PerPerson(requests=1, days=30))
    question = seal_question(hospital.bank, hospital.question())

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("fedcredit.scoring.block_service.seal_answer", crash)
        with pytest.raises(KeyboardInterrupt):
            hospital.answerer.answer(question)
    with pytest.raises(RefusalError, match="asked before"):
        hospital.answerer.answer(question)
    assert hospital.ask(nonce=b"2" * 16)[0] is Outcome.LIMIT
    hospital.book.close()


def test_a_crash_before_the_row_is_written_leaves_no_question(hospital, monkeypatch):
    """The question was not answered, so it may be asked again, once."""
    question = seal_question(hospital.bank, hospital.question())

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(hospital.book), "_appended", crash)
        with pytest.raises(KeyboardInterrupt):
            hospital.answerer.answer(question)
    assert hospital.notes() == []
    assert hospital.answerer.answer(question)[1] is Outcome.ANSWERED


# Clocks.


def test_a_clock_that_was_set_back_revives_no_consent(hospital):
    """The consent ends on the 22nd; on the 24th somebody who serves the time sets the clock back."""
    hospital.clock.now = NOW + 2 * 86_400
    assert hospital.ask(nonce=b"1" * 16)[0] is Outcome.REFUSED
    hospital.clock.now = NOW
    for person in (b"consented", b"nobody"):
        with pytest.raises(ConfigError, match="172800 s behind the audit book's newest row"):
            hospital.ask(person, nonce=b"2" * 16)
    hospital.book.close()
    with BlockAudit(hospital.file.audit) as book, pytest.raises(ConfigError, match="behind the audit book"):
        replace(hospital.answerer, book=book).answer(seal_question(hospital.bank, hospital.question(nonce=b"3" * 16)))
    assert hospital.notes() == ["no consent"]


def test_a_clock_that_is_mended_by_a_minute_goes_on(hospital):
    hospital.ask(nonce=b"1" * 16)
    hospital.clock.now = NOW - 60
    assert hospital.ask(nonce=b"2" * 16)[0] is Outcome.ANSWERED


def test_rows_of_a_clock_that_ran_ahead_still_count(tmp_path):
    """A clock that is set ahead forgets old questions; those asked meanwhile stay counted when it is set right."""
    hospital = Hospital(tmp_path, PerPerson(requests=1, days=30))
    hospital.consent(b"consented", until=date(2027, 12, 31))
    hospital.ask(nonce=b"1" * 16)
    hospital.clock.now += 31 * 86_400
    assert hospital.ask(nonce=b"2" * 16)[0] is Outcome.ANSWERED
    assert hospital.ask(nonce=b"3" * 16)[0] is Outcome.LIMIT
    hospital.clock.now -= 90
    assert hospital.ask(nonce=b"4" * 16)[0] is Outcome.LIMIT
    hospital.book.close()


# An insider at the hospital.


def without_triggers(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for name in ("stays", "remains", "follows"):
            connection.execute(f"DROP TRIGGER IF EXISTS ask_{name}")
        for statement in statements:
            connection.execute(statement)


def test_rows_that_were_taken_off_the_end_give_no_new_questions(hospital):
    for nonce in nonces(2):
        hospital.ask(nonce=nonce)
    without_triggers(hospital.file.audit, "DELETE FROM ask")
    for nonce in nonces(2):
        with pytest.raises(ConfigError, match="cut back or changed while it was open: row 2"):
            hospital.ask(nonce=nonce)


def test_a_row_is_not_replaced_by_plain_sql(hospital):
    hospital.ask()
    with (
        closing(sqlite3.connect(hospital.file.audit)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never"),
    ):
        connection.execute("REPLACE INTO ask SELECT seq, at - 86400 * 40, side, peer, block, purpose, package, person, "
                           "nonce, note, hash FROM ask")  # fmt: skip


def test_the_books_newest_hash_shows_a_cut(cli, hospital, tmp_path):
    hospital.ask(nonce=b"1" * 16)
    hospital.ask(nonce=b"2" * 16)
    path = tmp_path / "PEERS.yaml"
    path.touch(mode=0o600)
    peer = {"public_key": "a" * 64, "pair_key": "k", "purposes": [PURPOSE]}
    values = {"institution": "hospital-1", "identity_key": "i", "audit": "book.sqlite", "peers": {"bank-1": peer}}
    path.write_text(yaml.safe_dump(values))
    said = cli("consent", "verify", path).out
    assert said.startswith("2 rows, all hold; newest ")
    head = said.split("newest ")[1].split()[0]
    assert cli("consent", "verify", path, "--head", head).code == 0
    without_triggers(hospital.file.audit, "DELETE FROM ask WHERE seq = 2")
    assert cli("consent", "verify", path).out.startswith("1 rows")
    assert "cut back or written anew" in cli("consent", "verify", path, "--head", head).err
    path.write_text(yaml.safe_dump({**values, "audit": "none.sqlite"}))
    assert "does not exist" in cli("consent", "verify", path).err


def consent(number):
    return Consent(f"{number:064x}", "bank-1", PURPOSE, date(2030, 1, 1), token_hash(bytes(32)))


def test_a_consent_that_is_added_brings_no_withdrawn_one_back(tmp_path):
    """Twelve at once, each reading, changing and writing the file."""
    path = tmp_path / "consents.csv"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: change_consents(path, lambda known: [*known, consent(n)]), range(6)))
        changes = [lambda known, n=n: [one for one in known if one != consent(n)] for n in range(6)]
        changes += [lambda known, n=n: [*known, consent(n)] for n in range(6, 12)]
        list(pool.map(lambda change: change_consents(path, change), changes))
    assert {one.person for one in read_consents(path)} == {consent(n).person for n in range(6, 12)}


def test_a_consent_file_changed_under_its_old_times_is_read_again(hospital):
    status = hospital.consents.stat()
    consents = ConsentFile(hospital.consents)
    shown = (
        person_hash(PAIR, b"consented").hex(),
        "bank-1",
        PURPOSE,
        token_hash(TOKENS[b"consented"]),
        date(2026, 11, 22),
    )
    assert consents.holds(*shown)
    text = hospital.consents.read_text()
    with hospital.consents.open("r+") as file:  # in place, of one length
        file.write(text.replace("2026-11-22", "2026-11-20"))
    os.utime(hospital.consents, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hospital.consents.stat().st_size == status.st_size
    assert not consents.holds(*shown)


def test_a_package_that_is_not_permitted_is_not_answered_for(hospital):
    def suspended():
        raise ConfigError("the model cards is suspended")

    stopped = replace(hospital.answerer, permitted=suspended)
    for person in (b"consented", b"nobody"):
        with pytest.raises(ConfigError, match="suspended"):
            stopped.answer(seal_question(hospital.bank, hospital.question(person)))
    assert hospital.notes() == []


# A malicious hospital.


def test_a_hospital_writes_no_control_characters_on_the_banks_terminal(hospital, tmp_path, monkeypatch):
    def refuse(self, data):
        raise RefusalError("block", "all is well\x1b[1A\x1b[2K\u202e\nerror: none")

    monkeypatch.setattr(type(hospital.answerer), "answer", refuse)
    with BlockService(hospital.answerer, Listen()) as service, BlockAudit(tmp_path / "own.sqlite") as book:
        address = f"127.0.0.1:{service.port}"
        peer = Peer(public_key=hospital.own.public.hex(), pair_key=tmp_path, purposes=(PURPOSE,), address=address)
        what = Asking("bank-1", "hospital-1", "hospital", bytes.fromhex(hospital.package.digest), PURPOSE, 6)
        with (
            PeerClient(what, peer, hospital.bank, PAIR, book, hospital.clock) as client,
            pytest.raises(RefusalError) as refused,
        ):
            client.ask(b"consented", TOKENS[b"consented"])
    assert str(refused.value).isprintable()
    assert "all is well" in str(refused.value)


@pytest.mark.parametrize("steps", [7, -7, 2**31 - 1, -(2**31)])
def test_a_number_beyond_the_packages_limit_is_no_number(hospital, tmp_path, monkeypatch, steps):
    monkeypatch.setattr(
        type(hospital.answerer),
        "answer",
        lambda self, data: (seal_answer(self.key, data, Outcome.ANSWERED, steps), Outcome.ANSWERED),
    )
    with BlockService(hospital.answerer, Listen()) as service, BlockAudit(tmp_path / "own.sqlite") as book:
        address = f"127.0.0.1:{service.port}"
        peer = Peer(public_key=hospital.own.public.hex(), pair_key=tmp_path, purposes=(PURPOSE,), address=address)
        what = Asking("bank-1", "hospital-1", "hospital", bytes.fromhex(hospital.package.digest), PURPOSE, 6)
        with (
            PeerClient(what, peer, hospital.bank, PAIR, book, hospital.clock) as client,
            pytest.raises(WireError, match=f"answers {steps} steps, beyond the package's ±6"),
        ):
            client.ask(b"consented", TOKENS[b"consented"])
