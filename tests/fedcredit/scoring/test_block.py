"""Two-institution scoring: an honest bank gets its number, and whoever means ill gets one and the same answer."""

import sqlite3
from dataclasses import replace
from datetime import date

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.sources import TableSource
from fedcredit.errors import AbsenceError, ConfigError, DataError, RefusalError
from fedcredit.scoring.batch import Joined, Wanted, score_table
from fedcredit.scoring.block_audit import BlockAudit, Noted
from fedcredit.scoring.block_messages import (
    METHOD,
    Outcome,
    open_answer,
    person_hash,
    seal_answer,
    seal_question,
)
from fedcredit.scoring.block_service import BlockService, keys_of, read_numbers
from fedcredit.scoring.card import card_of
from fedcredit.scoring.joint import BlockScorer, JointScorer
from fedcredit.scoring.listening import Listen
from fedcredit.scoring.peer_client import Asking, Numbers, PeerClient
from fedcredit.scoring.peers_file import Peer, PerPerson
from tests import packages
from tests.fedcredit.scoring.hospital import NOW, OTHER_PAIR, OTHER_PURPOSE, PAIR, PURPOSE, TOKENS, Hospital, true_steps


@pytest.fixture
def hospital(tmp_path):
    one = Hospital(tmp_path)
    yield one
    one.book.close()


def test_a_consented_number_is_the_block_s_contribution_in_steps(hospital):
    assert hospital.ask() == (Outcome.ANSWERED, true_steps(hospital))
    assert hospital.repeated == 1
    assert hospital.notes() == ["answered"]


UNANSWERABLE = {
    "unknown": {"person": b"nobody"},
    "not consented": {"person": b"patient"},
    "consented, but no patient": {"person": b"absent"},
    "ended": {"person": b"ended"},
    "twice in the table": {"person": b"twice"},
    "another token": {"token": bytes(32)},
    "another pair's hash": {"person": b"consented", "changes": {"person": person_hash(OTHER_PAIR, b"consented")}},
}


def test_every_refusal_on_a_person_is_the_same_bytes(hospital, monkeypatch):
    """Given one and the same question hash and nonce, nothing in the answer tells the cases apart."""
    monkeypatch.setattr("fedcredit.scoring.block_messages._hash", lambda _: bytes(32))
    answers = set()
    for number, changes in enumerate(UNANSWERABLE.values()):
        given = {**changes, **changes.get("changes", {})}
        person = changes.get("person", b"consented")
        extra = {k: v for k, v in given.items() if k not in {"person", "changes"}}
        question = hospital.question(person, nonce=bytes([number]) * 16, **extra)
        if "changes" in changes:
            question = replace(question, **changes["changes"])
        answers.add(hospital.answerer.answer(seal_question(hospital.bank, question))[0])
    assert len(answers) == 1
    sealed = seal_question(hospital.bank, hospital.question(nonce=b"n" * 16))
    answered, outcome = hospital.answerer.answer(sealed)
    assert outcome is Outcome.ANSWERED
    assert len(answered) == len(answers.pop())
    assert set(hospital.notes()) == {"no consent", "no such person", "answered"}


def test_a_withdrawal_counts_from_the_next_question(hospital):
    assert hospital.ask(nonce=b"1" * 16)[0] is Outcome.ANSWERED
    hospital.consent()
    assert hospital.ask(nonce=b"2" * 16)[0] is Outcome.REFUSED
    hospital.consent(b"consented", purpose=OTHER_PURPOSE)
    assert hospital.ask(nonce=b"3" * 16)[0] is Outcome.REFUSED


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("peer", {"asker": "bank-9"}),
        ("signature", {"asker": "bank-2"}),
        ("block", {"answerer": "hospital-2"}),
        ("block", {"block": "bank"}),
        ("package", {"package": bytes(32)}),
        ("time", {"asked_at": NOW - 121}),
        ("time", {"asked_at": NOW + 121}),
        ("time", {"asked_at": 2**64 - 1}),
        ("purpose", {"purpose": OTHER_PURPOSE}),
        ("request", {"token": bytes(31)}),
        ("request", {"block": "b" * 64}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_the_caller_got_wrong_is_one_word_and_no_row(hospital, code, changes):
    for person in (b"consented", b"nobody"):
        with pytest.raises(RefusalError) as refused:
            hospital.ask(person, **changes)
        assert refused.value.code == code
    assert hospital.notes() == []


def test_a_question_is_answered_once_even_after_a_restart(hospital):
    question = seal_question(hospital.bank, hospital.question())
    hospital.answerer.answer(question)
    with pytest.raises(RefusalError, match="asked before"):
        hospital.answerer.answer(question)
    hospital.book.close()
    with BlockAudit(hospital.file.audit) as book, pytest.raises(RefusalError, match="asked before"):
        replace(hospital.answerer, book=book).answer(question)


def test_a_question_changed_on_its_way_is_refused(hospital):
    question = bytearray(seal_question(hospital.bank, hospital.question()))
    question[100] ^= 1
    with pytest.raises(RefusalError) as refused:
        hospital.answerer.answer(bytes(question))
    assert refused.value.code in {"signature", "request"}


def test_limits_count_every_question_alike(tmp_path):
    hospital = Hospital(tmp_path, PerPerson(requests=2, days=30), requests_per_day=6)
    persons = [b"consented"] * 3 + [b"nobody"] * 3
    outcomes = [hospital.ask(p, nonce=bytes([n]) * 16)[0] for n, p in enumerate(persons)]
    assert outcomes == [Outcome.ANSWERED] * 2 + [Outcome.LIMIT] + [Outcome.REFUSED] * 2 + [Outcome.LIMIT]
    assert hospital.ask(b"patient", nonce=b"x" * 16)[0] is Outcome.LIMIT
    hospital.clock.now += 25 * 3600
    hospital.consent(b"consented", until=date(2027, 12, 31))
    assert hospital.ask(nonce=b"y" * 16)[0] is Outcome.LIMIT
    assert hospital.ask(b"patient", nonce=b"z" * 16)[0] is Outcome.REFUSED
    hospital.clock.now += 30 * 86_400
    assert hospital.ask(nonce=b"w" * 16)[0] is Outcome.ANSWERED
    hospital.book.close()


def test_a_flood_of_questions_does_not_fill_the_book(tmp_path):
    hospital = Hospital(tmp_path, requests_per_day=2)
    for number in range(4):
        hospital.ask(b"nobody", nonce=bytes([number]) * 16)
    with pytest.raises(RefusalError, match="long used up") as refused:
        hospital.ask(b"nobody", nonce=b"z" * 16)
    assert refused.value.code == "limit"
    assert len(hospital.notes()) == 4
    hospital.book.close()


def test_consents_that_cannot_be_read_answer_nobody_until_they_can(hospital):
    hospital.consents.write_text("person,peer\nx,y\n")
    for person in (b"consented", b"nobody"):
        with pytest.raises(ConfigError, match="line 2: needs person, peer"):
            hospital.ask(person, nonce=b"1" * 16)
    assert hospital.notes() == []
    hospital.consents.unlink()
    with pytest.raises(ConfigError, match="nobody is answered"):
        hospital.ask()
    hospital.consent(b"consented")
    assert hospital.ask()[0] is Outcome.ANSWERED


def test_two_processes_share_a_book(hospital):
    with BlockAudit(hospital.file.audit) as other:
        hospital.ask(nonce=b"1" * 16)
        other.record("sent", "hospital-2", hospital.question(nonce=b"2" * 16), NOW, lambda _: Noted("sent"))
        hospital.ask(nonce=b"3" * 16)
    BlockAudit(hospital.file.audit).close()


def test_answers_are_signed_and_bound_to_their_question(hospital):
    first, second = (seal_question(hospital.bank, hospital.question(nonce=n * 16)) for n in (b"a", b"b"))
    answer, _ = hospital.answerer.answer(first)
    with pytest.raises(RefusalError, match="to another question"):
        open_answer(answer, hospital.own.public, second)
    forged = seal_answer(hospital.bank, first, Outcome.ANSWERED, -6)
    with pytest.raises(RefusalError, match="does not match the pinned key"):
        open_answer(forged, hospital.own.public, first)


def test_the_book_shows_when_it_was_changed(hospital):
    hospital.ask(nonce=b"1" * 16)
    hospital.ask(nonce=b"2" * 16)
    hospital.book.close()
    connection = sqlite3.connect(hospital.file.audit)
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute("DELETE FROM ask")
    connection.executescript("DROP TRIGGER ask_stays; UPDATE ask SET note = 'no consent' WHERE seq = 1")
    connection.close()
    with pytest.raises(ConfigError, match="a row was changed or taken out"):
        BlockAudit(hospital.file.audit)


@pytest.fixture
def asking(hospital):
    """The bank's client, over gRPC on loopback, and its book."""
    with BlockService(hospital.answerer, Listen()) as service, BlockAudit(hospital.folder / "own.sqlite") as book:
        peer = Peer(
            public_key=hospital.own.public.hex(),
            pair_key=hospital.folder,
            purposes=(PURPOSE,),
            address=f"127.0.0.1:{service.port}",
        )
        what = Asking("bank-1", "hospital-1", "hospital", bytes.fromhex(hospital.package.digest), PURPOSE, 6)
        with PeerClient(what, peer, hospital.bank, PAIR, book, hospital.clock) as client:
            yield client, book, peer, what


def test_a_bank_s_scores_take_the_number_in(hospital, asking, tmp_path):
    client, *_ = asking
    card = card_of(hospital.package, "bank")
    values = packages.odd_values(3, 4)
    table = TableSource(pa.table({**values, "id": ["consented", "patient", "nobody", "x"]}))
    tokens = {person: TOKENS[person] for person in (b"consented",)} | {b"patient": bytes(32)}
    joined = Joined(JointScorer(card, "hospital"), Numbers(client, tokens).of)
    score_table(card, table, None, tmp_path / "with.parquet", Wanted(joined=joined))
    score_table(card, table, None, tmp_path / "without.parquet")
    rows, plain = (pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("with", "without"))
    logits = 0.5 * 256 * true_steps(hospital) / 1024
    assert logits > 0.1
    odds = [row["pd"] / (1 - row["pd"]) for row in (rows[0], plain[0])]
    assert np.log(odds[0] / odds[1]) == pytest.approx(logits, abs=1e-3)
    assert rows[0]["points"] - plain[0]["points"] == round(-20 / np.log(2) * logits)
    reasons = {rows[0][f"reason_{k}_text"] for k in range(1, 5)}
    assert packages.JOINT.reason in reasons
    assert "block:hospital" not in rows[0]["flags"]
    for row, other in zip(rows[1:], plain[1:], strict=True):
        assert (row["points"], row["pd"]) == (other["points"], other["pd"])
        assert "block:hospital" in row["flags"]
    assert client.counts == {Outcome.ANSWERED: 1, Outcome.REFUSED: 1, Outcome.LIMIT: 0}
    assert hospital.notes() == ["answered", "no consent"]


def test_both_sides_have_the_rows(hospital, asking):
    client, *_ = asking
    assert client.ask(b"consented", TOKENS[b"consented"]) == true_steps(hospital)
    sides = []
    for path in (hospital.folder / "own.sqlite", hospital.file.audit):
        connection = sqlite3.connect(path)
        sides.append(connection.execute("SELECT side, peer, person, nonce, note FROM ask ORDER BY seq").fetchall())
        connection.close()
    own, theirs = sides
    assert [(side, note) for side, *_, note in own] == [("sent", "sent"), ("received", "answered")]
    assert [row[:2] for row in theirs] == [("answered", "bank-1")]
    assert {row[2:4] for row in own} == {row[2:4] for row in theirs}


def test_a_peer_that_goes_away_does_not_undo_its_answers(hospital, asking):
    client, *_ = asking
    numbers = Numbers(client, TOKENS)
    first = numbers.of([b"consented", b"nobody"])
    assert (first[0], np.isnan(first[1])) == (true_steps(hospital), True)
    client._channel.close()
    client._channel = grpc.insecure_channel("127.0.0.1:1")
    assert np.isnan(numbers.of([b"ended", b"absent", b"nobody"])).all()
    assert numbers.unasked == 2
    fresh = Numbers(client, TOKENS)
    client.counts = dict.fromkeys(Outcome, 0)
    with pytest.raises(AbsenceError):
        fresh.of([b"ended"])


def test_a_flooded_peer_s_word_is_a_limit(tmp_path):
    hospital = Hospital(tmp_path, requests_per_day=1)
    with BlockService(hospital.answerer, Listen()) as service, BlockAudit(tmp_path / "own.sqlite") as book:
        peer = Peer(
            public_key=hospital.own.public.hex(),
            pair_key=tmp_path,
            purposes=(PURPOSE,),
            address=f"127.0.0.1:{service.port}",
        )
        what = Asking("bank-1", "hospital-1", "hospital", bytes.fromhex(hospital.package.digest), PURPOSE, 6)
        with PeerClient(what, peer, hospital.bank, PAIR, book, hospital.clock) as client:
            assert [client.ask(b"ended", TOKENS[b"ended"]) for _ in range(4)] == [None] * 4
    assert client.counts == {Outcome.ANSWERED: 0, Outcome.REFUSED: 1, Outcome.LIMIT: 3}
    hospital.book.close()


def test_a_question_that_is_turned_away_and_a_peer_that_is_gone(hospital, asking):
    _, book, peer, what = asking
    other = PeerClient(replace(what, package=bytes(32)), peer, hospital.bank, PAIR, book, hospital.clock)
    with other, pytest.raises(RefusalError, match="another model package") as refused:
        other.ask(b"consented", TOKENS[b"consented"])
    assert refused.value.code == "package"
    gone = peer.model_copy(update={"address": "127.0.0.1:1"})
    with (
        PeerClient(what, gone, hospital.bank, PAIR, book) as nobody,
        pytest.raises(AbsenceError, match="does not answer"),
    ):
        nobody.ask(b"consented", TOKENS[b"consented"])
    with pytest.raises(ConfigError, match="is on another machine"):
        PeerClient(what, peer.model_copy(update={"address": "192.0.2.1:5"}), hospital.bank, PAIR, book)
    with pytest.raises(ConfigError, match="not agreed with hospital-1"):
        PeerClient(replace(what, purpose=OTHER_PURPOSE), peer, hospital.bank, PAIR, book)


def test_foreign_bytes_over_the_wire_are_one_word(hospital):
    with BlockService(hospital.answerer, Listen()) as service:
        channel = grpc.insecure_channel(f"127.0.0.1:{service.port}")
        with channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(METHOD)(b"hello", timeout=10)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith("request: ")


def test_without_a_joint_view_nobody_asks_and_nobody_answers():
    plain = packages.package(joint=None)
    with pytest.raises(ConfigError, match="no joint view"):
        BlockScorer(plain, "hospital", "hospital")
    with pytest.raises(ConfigError, match="no joint view"):
        JointScorer(card_of(plain, "bank"), "hospital")
    card = card_of(packages.package(), "bank")
    with pytest.raises(ConfigError, match="no block that a bank lacks; choose from: hospital"):
        JointScorer(card, "applicant")
    with pytest.raises(ConfigError, match="a hospital has no block 'bank'"):
        BlockScorer(packages.package(), "hospital", "bank")


def test_pairs_share_no_key_and_a_table_names_persons(hospital):
    with pytest.raises(ConfigError, match="same pair key"):
        keys_of(hospital.file, lambda _: PAIR)
    scorer = BlockScorer(hospital.package, "hospital", "hospital")
    nameless = {name: column for name, column in hospital.table.items() if name != "id"}
    with pytest.raises(DataError, match="names no person"):
        read_numbers(scorer, TableSource(pa.table(nameless)), None, {})


def test_a_book_that_cannot_be_written_answers_nobody(hospital):
    hospital.book._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(ConfigError, match="cannot be written"):
        hospital.ask()
    with pytest.raises(ConfigError, match="cannot be written"):
        hospital.book.record("sent", "x", hospital.question(), NOW, lambda _: Noted("sent"))
