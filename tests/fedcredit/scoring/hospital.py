"""A hospital that answers a bank, made up, for the tests of two-institution scoring."""

import sqlite3
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from fedcredit.data.sources import TableSource
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_messages import (
    Question,
    open_answer,
    person_hash,
    seal_question,
    token_hash,
)
from fedcredit.scoring.block_service import Answerer, read_numbers
from fedcredit.scoring.card import card_of
from fedcredit.scoring.consents import Consent, ConsentFile, write_consents
from fedcredit.scoring.joint import BlockScorer
from fedcredit.scoring.peers_file import Peer, PeersFile, PerPerson
from fedcredit.scoring.single import SingleScorer
from fedcredit.wire.envelope import SigningKey
from tests import packages

PURPOSE, OTHER_PURPOSE = "credit decision", "collection"
PAIR, OTHER_PAIR = bytes(range(32)), bytes(range(32, 64))
NOW = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp())
TOKENS = {person: bytes([n]) * 32 for n, person in enumerate((b"consented", b"ended", b"absent"), start=1)}
FIVE_IN_30_DAYS = PerPerson(requests=5, days=30)
NAMES = ["consented", "patient", "ended", "twice", "twice"]


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Hospital:
    """The answering side with its table, its consents and its book."""

    def __init__(self, folder, per_person=FIVE_IN_30_DAYS, requests_per_day=50):
        self.folder, self.clock = folder, Clock()
        self.package = packages.package(1)
        self.bank, self.other, self.own = (SigningKey.generate() for _ in range(3))
        peer = Peer(
            public_key=self.bank.public.hex(), pair_key=folder, purposes=(PURPOSE,), requests_per_day=requests_per_day
        )
        stranger = peer.model_copy(update={"public_key": self.other.public.hex()})
        self.file = PeersFile(
            institution="hospital-1",
            identity_key=folder,
            audit=folder / "book.sqlite",
            peers={"bank-1": peer, "bank-2": stranger},
        )
        self.table = {**packages.odd_values(2, len(NAMES)), "id": NAMES}
        scorer = BlockScorer(self.package, "hospital", "hospital")
        keys = {"bank-1": PAIR, "bank-2": OTHER_PAIR}
        numbers, self.repeated = read_numbers(scorer, TableSource(pa.table(self.table)), None, keys)
        self.consents = folder / "consents.csv"
        self.consent(b"consented", b"absent")
        self.book = BlockAudit(self.file.audit)
        self.answerer = Answerer(
            self.file,
            self.own,
            "hospital",
            bytes.fromhex(self.package.digest),
            numbers,
            ConsentFile(self.consents),
            per_person,
            self.book,
            self.clock,
        )

    def consent(self, *persons, until=date(2026, 11, 22), purpose=PURPOSE):
        lines = [Consent(person_hash(PAIR, p).hex(), "bank-1", purpose, until, token_hash(TOKENS[p])) for p in persons]
        ended = Consent(
            person_hash(PAIR, b"ended").hex(), "bank-1", purpose, date(2026, 11, 21), token_hash(TOKENS[b"ended"])
        )
        write_consents(self.consents, [*lines, ended])

    def question(self, person=b"consented", **changes):
        fields = {
            "asker": "bank-1",
            "answerer": "hospital-1",
            "block": "hospital",
            "package": bytes.fromhex(self.package.digest),
            "purpose": PURPOSE,
            "person": person_hash(PAIR, person),
            "token": TOKENS.get(person, bytes(32)),
            "nonce": np.random.default_rng(abs(hash((person, *changes)))).bytes(16),
            "asked_at": self.clock.now,
        }
        return Question(**(fields | changes))

    def ask(self, person=b"consented", key=None, **changes):
        sealed = seal_question(key or self.bank, self.question(person, **changes))
        answer, _ = self.answerer.answer(sealed)
        return open_answer(answer, self.own.public, sealed)

    def notes(self):
        connection = sqlite3.connect(self.file.audit)
        found = [row[0] for row in connection.execute("SELECT note FROM ask WHERE side = 'answered' ORDER BY seq")]
        connection.close()
        return found


def true_steps(hospital):
    """The number of the first row from `SingleScorer`, which knows nothing of peers."""
    card = card_of(hospital.package, "hospital")
    score = SingleScorer(card).score({one.feature.name: hospital.table[one.feature.name][0] for one in card.features})
    without = {
        o.feature.name: hospital.table[o.feature.name][0] for o in card.features if o.feature.block != "hospital"
    }
    contribution = score.margin - SingleScorer(card).score(without).margin
    return int(np.clip(np.rint(contribution / 256), -6, 6))
