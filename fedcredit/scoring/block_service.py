"""The answering side of two-institution scoring: one small number, under consent, purpose and limits.

In this order: the question is parsed, its asker is a known peer, the signature holds, it is meant for this institution,
this block and this package, it is fresh, its purpose is allowed. Whatever fails so far depends on the caller alone and
is turned away with one word. Then the audit book takes a row, in which repeats and limits are seen; only then the
consents are looked at. A person who is unknown, one who has not consented and one whose consent has ended get the same
answer of the same size after the same steps. Why it was refused stands in this institution's own book.

The clock decides which consents have ended and which questions count, so a clock that stands behind the book's newest
row answers nobody.

Against a bank that means ill: it cannot make up a consent (the token's hash is this side's), cannot ask twice with one
signature, and cannot spend more questions than its limits, which count refused ones, too. What it learns from an answer
is in docs/scoring.md.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
import numpy as np

from fedcredit.data.columns import ids
from fedcredit.data.sources import Source
from fedcredit.dictionary.mapping import Mapping as ColumnsMapping
from fedcredit.errors import ConfigError, DataError, RefusalError, WireError
from fedcredit.package.contents import ModelPackage
from fedcredit.scoring.batch import CHUNK_ROWS
from fedcredit.scoring.block_audit import ANSWERED, BlockAudit, Counts, Noted
from fedcredit.scoring.block_messages import (
    METHOD,
    SERVICE,
    Outcome,
    Question,
    person_hash,
    read_question,
    seal_answer,
    token_hash,
    verify_question,
)
from fedcredit.scoring.consents import ConsentFile
from fedcredit.scoring.joint import BlockScorer, joint_view
from fedcredit.scoring.listening import Listen, Server
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.peers_file import Answering, Peer, PeersFile, PerPerson
from fedcredit.scoring.permission import Permitted, always_permitted
from fedcredit.scoring.reading import read_columns, reading_of
from fedcredit.wire.envelope import SigningKey

_LOG = logging.getLogger(__name__)
FRESH_S = 120
_MOST_BACK_S = 120
_FLOOD = 2
_STATUS = {
    "request": grpc.StatusCode.INVALID_ARGUMENT,
    "peer": grpc.StatusCode.UNAUTHENTICATED,
    "signature": grpc.StatusCode.UNAUTHENTICATED,
    "time": grpc.StatusCode.FAILED_PRECONDITION,
    "replay": grpc.StatusCode.ALREADY_EXISTS,
    "package": grpc.StatusCode.FAILED_PRECONDITION,
    "block": grpc.StatusCode.FAILED_PRECONDITION,
    "purpose": grpc.StatusCode.PERMISSION_DENIED,
    "limit": grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Numbers = Mapping[str, Mapping[bytes, int]]
"""By peer: keyed hash of a person, and that person's whole number of steps."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers, for what.

    Attributes
    ----------
    block, package
        What is asked for: name of the block, and hash of the package, 32 bytes.
    pair_keys
        By peer; persons are named under them.
    numbers
        From `read_numbers`.
    permitted
        Raises a ConfigError while the package may not be used; asked before every answer.
    """

    file: PeersFile
    key: SigningKey
    block: str
    package: bytes
    numbers: Numbers
    consents: ConsentFile
    per_person: PerPerson
    book: BlockAudit
    clock: Callable[[], float] = time.time
    permitted: Permitted = always_permitted

    def answer(self, data: bytes) -> tuple[bytes, Outcome]:
        """Answer a question.

        Raises
        ------
        RefusalError
            With a word that depends on the caller alone.
        ConfigError
            If consents or book cannot be used, the clock went back, or the package is not permitted; nothing is
            answered then.
        """
        self.permitted()
        question, now = self._admitted(data), int(self.clock())
        noted = self.book.record(
            ANSWERED,
            question.asker,
            question,
            now,
            lambda counts: self._decided(question, counts, now),
            self.per_person.days,
        )
        return seal_answer(self.key, data, noted.outcome, noted.steps), noted.outcome

    def _admitted(self, data: bytes) -> Question:
        try:
            question = read_question(data)
        except WireError as error:
            raise RefusalError("request", str(error)) from error
        peer = self.file.peers.get(question.asker)
        if peer is None:
            raise RefusalError("peer", "the asker is no peer of this institution")
        verify_question(data, bytes.fromhex(peer.public_key))
        if question.answerer != self.file.institution or question.block != self.block:
            raise RefusalError("block", "another institution or another block answers here")
        if question.package != self.package:
            raise RefusalError("package", "another model package is served here; both sides need the same one")
        if abs(self.clock() - question.asked_at) > FRESH_S:
            raise RefusalError("time", "the question is too old or the clocks differ; ask again")
        if question.purpose not in peer.purposes:
            raise RefusalError("purpose", "this purpose was not agreed with the asker")
        return question

    def _decided(self, question: Question, counts: Counts, now: int) -> Noted:
        """What is answered, and the reason for the own book; no branch on a person before all was looked up."""
        if now < counts.newest - _MOST_BACK_S:
            # Consents that have ended would be there again.
            raise ConfigError(
                f"the clock is {counts.newest - now} s behind the audit book's newest row; set it, or, if that row is "
                "from a clock that ran ahead, begin a new book."
            )
        today = datetime.fromtimestamp(now, UTC).date()
        steps = self.numbers[question.asker].get(question.person)
        shown = token_hash(question.token)
        consented = self.consents.holds(question.person.hex(), question.asker, question.purpose, shown, today)
        limit = self.file.peers[question.asker].requests_per_day
        if counts.of_peer >= _FLOOD * limit:
            # Without a row: or whoever has a key could fill this disk.
            raise RefusalError("limit", "the limit of the day is long used up; ask tomorrow")
        if counts.of_peer >= limit:
            return Noted("limit of the peer", Outcome.LIMIT)
        if counts.of_person >= self.per_person.requests:
            return Noted("limit of the person", Outcome.LIMIT)
        if not consented:
            return Noted("no consent")
        if steps is None:
            return Noted("no such person")
        return Noted("answered", Outcome.ANSWERED, steps)


class BlockService(Server):
    """The service; use as a context manager.

    Parameters
    ----------
    answerer
        What answers.
    listen
        Where; questions are signed, so beyond loopback TLS needs no client certificates.
    """

    def __init__(self, answerer: Answerer, listen: Listen, metrics: ScoringMetrics | None = None) -> None:
        listen.check(signed=True)
        self._answerer, self._metrics = answerer, metrics or ScoringMetrics()
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._ask)
        super().__init__(SERVICE, {METHOD.rpartition("/")[2]: method}, listen)

    def _ask(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        begun = time.perf_counter()
        try:
            answer, outcome = self._answerer.answer(request)
        except RefusalError as error:
            self._metrics.rejected(error.code)
            context.abort(_STATUS[error.code], f"{error.code}: {error}")
        except ConfigError as error:
            _LOG.warning("no peer is answered: %s", error)
            self._metrics.rejected("own")
            context.abort(grpc.StatusCode.UNAVAILABLE, "nothing is answered now; ask its operator")
        except Exception:  # noqa: BLE001  (the boundary: nothing may leave but a word)
            _LOG.exception("a call failed")
            context.abort(grpc.StatusCode.UNAVAILABLE, "nothing is answered now; ask its operator")
        self._metrics.answered(outcome.name.lower())
        self._metrics.took(time.perf_counter() - begun)
        return answer


def read_numbers(
    scorer: BlockScorer,
    source: Source,
    mapping: ColumnsMapping | None,
    pair_keys: Mapping[str, bytes],
) -> tuple[dict[str, dict[bytes, int]], int]:
    """Read the institution's table once: a number per person, under each peer's key.

    Returns
    -------
    numbers
        As `Numbers`; somebody who stands in several rows has none.
    repeated
        How many persons those are.

    Raises
    ------
    DataError
        If no id column is mapped, the block is not in the table, or the table cannot be read.
    """
    reading = reading_of(scorer.card, mapping, list(source.column_types()))
    if reading.id_column is None:
        raise DataError("the table names no person; set id_column in the mapping.")
    found: dict[bytes, int] = {}
    repeated: set[bytes] = set()
    for chunk in source.chunks(reading.columns, CHUNK_ROWS):
        columns, _ = read_columns(reading, chunk.table)
        steps: list[int] = np.asarray(scorer.steps(columns, chunk.table.num_rows)).tolist()
        for person, number in zip(ids(chunk.table, reading.id_column), steps, strict=True):
            if person in found:
                repeated.add(person)
            elif person:
                found[person] = number
    once = {person: number for person, number in found.items() if person not in repeated}
    return {
        peer: {person_hash(key, person): number for person, number in once.items()} for peer, key in pair_keys.items()
    }, len(repeated)


def require_few_values(package: ModelPackage, answering: Answering) -> None:
    """Refuse a package whose numbers say more of a person than this institution lets out.

    Raises
    ------
    ConfigError
        If its limit is above the institution's own.
    """
    limit = joint_view(package).limit
    if limit > answering.largest_number:
        own = answering.largest_number
        raise ConfigError(
            f"the package asks for whole numbers up to ±{limit}, and this institution answers up to ±{own} "
            f"({math.log2(2 * own + 1):.1f} bits of a person); have it packed with a smaller limit, or set "
            "answering.largest_number in PEERS.yaml."
        )


def answering_of(file: PeersFile) -> Answering:
    """The answering part of a peers file.

    Raises
    ------
    ConfigError
        If it has none.
    """
    if file.answering is None:
        raise ConfigError(f"the peers file of {file.institution} has no part 'answering'; add consents and data.")
    return file.answering


def keys_of(file: PeersFile, load: Callable[[Peer], bytes]) -> dict[str, bytes]:
    """Pair keys by peer.

    Raises
    ------
    ConfigError
        If two peers share one: they could ask in each other's persons' names.
    """
    keys = {name: load(peer) for name, peer in file.peers.items()}
    if len(set(keys.values())) < len(keys):
        raise ConfigError("two peers have the same pair key; every pair of institutions needs its own.")
    return keys
