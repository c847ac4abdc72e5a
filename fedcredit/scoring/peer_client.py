"""The asking side of two-institution scoring: signed questions, checked answers, a row in the book for both.

A question is asked only where the package's joint view gives the answer a weight, and only for a person whose consent
token is at hand: what nobody needs is not asked.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.address import CHANNEL_OPTIONS
from fedcredit.errors import AbsenceError, ConfigError, RefusalError, WireError
from fedcredit.printable import printable
from fedcredit.scoring.block_audit import RECEIVED, SENT, BlockAudit, Noted
from fedcredit.scoring.block_messages import (
    METHOD,
    NONCE_BYTES,
    Outcome,
    Question,
    open_answer,
    person_hash,
    seal_question,
)
from fedcredit.scoring.listening import is_loopback, read_certificates
from fedcredit.scoring.peers_file import Peer
from fedcredit.wire.envelope import SigningKey

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Asking:
    """What every question of a run says.

    Attributes
    ----------
    asker, answerer
        The two institutions.
    package
        Hash of the model package, 32 bytes.
    limit
        Largest whole number that it knows, either way.
    """

    asker: str
    answerer: str
    block: str
    package: bytes
    purpose: str
    limit: int


class PeerClient:
    """Asks one peer; use as a context manager.

    Parameters
    ----------
    asking
        What every question says.
    peer
        The peer's entry in PEERS.yaml.
    key, pair_key
        This institution's identity key, and the pair's secret.
    book
        Takes a row before a question is sent and one for what came back.

    Attributes
    ----------
    counts
        Outcomes so far.

    Raises
    ------
    ConfigError
        If the peer has no usable address, or did not agree to the purpose.
    """

    def __init__(
        self,
        asking: Asking,
        peer: Peer,
        key: SigningKey,
        pair_key: bytes,
        book: BlockAudit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if asking.purpose not in peer.purposes:
            raise ConfigError(
                f"purpose {asking.purpose!r:.80} is not agreed with {asking.answerer}; PEERS.yaml has: "
                f"{'; '.join(peer.purposes)}."
            )
        self._asking, self._peer, self._key, self._pair_key = asking, peer, key, pair_key
        self._book, self._clock = book, clock
        self._public = bytes.fromhex(peer.public_key)
        self._channel = _channel(asking.answerer, peer)
        self.counts = dict.fromkeys(Outcome, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def ask(self, person: bytes, token: bytes) -> int | None:
        """Ask for one person's number.

        Parameters
        ----------
        person
            The person's id, in both institutions' spelling.
        token
            The consent token, 32 bytes.

        Returns
        -------
        int or None
            Whole number of steps; None where the peer does not say.

        Raises
        ------
        AbsenceError
            If the peer cannot be reached.
        RefusalError
            If it turns the question away, or the answer is not its own.
        WireError
            If the answer is foreign, or its number beyond the package's limit.
        """
        question = Question(
            self._asking.asker,
            self._asking.answerer,
            self._asking.block,
            self._asking.package,
            self._asking.purpose,
            person_hash(self._pair_key, person),
            token,
            os.urandom(NONCE_BYTES),
            int(self._clock()),
        )
        sealed = seal_question(self._key, question)
        self._record(SENT, question, "sent")
        try:
            outcome, steps = open_answer(self._sent(sealed), self._public, sealed)
        except RefusalError as error:
            if error.code != "limit":
                raise
            outcome, steps = Outcome.LIMIT, 0
        if abs(steps) > self._asking.limit:
            raise WireError(
                f"{self._asking.answerer} answers {steps} steps, beyond the package's ±{self._asking.limit}; "
                "it scores with something else. Score without it."
            )
        self._record(RECEIVED, question, outcome.name.lower())
        self.counts[outcome] += 1
        return steps if outcome is Outcome.ANSWERED else None

    def _record(self, side: str, question: Question, note: str) -> None:
        self._book.record(side, self._asking.answerer, question, int(self._clock()), lambda _: Noted(note))

    def _sent(self, sealed: bytes) -> bytes:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHOD)
        try:
            return call(sealed, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._fault(error) from error

    def _fault(self, error: Any) -> AbsenceError | RefusalError:  # noqa: ANN401 - grpc's class has no code()
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            return AbsenceError(
                f"{self._asking.answerer} does not answer at {self._peer.address}; try again when it is there."
            )
        word, _, rest = printable(error.details() or "").partition(": ")
        return RefusalError(word[:20] or "peer", f"{self._asking.answerer} turns the question away: {rest[:200]}.")


class Numbers:
    """Asks for the numbers of persons whose token is at hand, as long as the peer is there.

    A question that was answered counts towards the peer's limits even if the answer is lost, so a peer that goes away
    does not undo what it has said: from then on nobody is asked.

    Parameters
    ----------
    tokens
        Consent token by the person's id.

    Attributes
    ----------
    unasked
        Persons with a token who were not asked, since the peer was gone.
    """

    def __init__(self, client: PeerClient, tokens: Mapping[bytes, bytes]) -> None:
        self._client, self._tokens, self.unasked = client, tokens, 0

    def of(self, persons: Sequence[bytes]) -> NDArray[np.float64]:
        """Numbers of persons; NaN where there is no token, and where the peer does not say; shape (n,)."""
        found = [self._of(person) for person in persons]
        return np.array([np.nan if steps is None else float(steps) for steps in found], dtype=np.float64)

    def _of(self, person: bytes) -> int | None:
        if person not in self._tokens:
            return None
        if not self.unasked:
            try:
                return self._client.ask(person, self._tokens[person])
            except AbsenceError:
                if not any(self._client.counts.values()):
                    raise
        self.unasked += 1
        return None


def _channel(name: str, peer: Peer) -> grpc.Channel:
    if peer.address is None:
        raise ConfigError(f"PEERS.yaml has no address of {name}; add address: HOST:PORT.")
    host = peer.address.rpartition(":")[0].strip("[]")
    if peer.certificate is not None:
        credentials = grpc.ssl_channel_credentials(read_certificates(peer.certificate))
        return grpc.secure_channel(peer.address, credentials, options=CHANNEL_OPTIONS)
    if not is_loopback(host):
        raise ConfigError(f"{name} at {peer.address} is on another machine; add its certificate's authority.")
    return grpc.insecure_channel(peer.address, options=CHANNEL_OPTIONS)
