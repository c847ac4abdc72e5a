"""The scoring service: raw values in, probability, points, reasons, flags and a decision id out.

One customer is scored in plain Python, which takes a fraction of a call's time. The package is read once, when the
service starts: another package needs another start, so a decision's hash says what decided.
"""

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import grpc

from fedcredit.custodian.token_gate import TokenGate
from fedcredit.errors import ConfigError, DataError
from fedcredit.scoring import scoring_pb2 as pb
from fedcredit.scoring.card import ScoringCard
from fedcredit.scoring.decisions import Decision, DecisionLog, subject_hash, verdict_of
from fedcredit.scoring.listening import Listen, Server
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.permission import Permitted, always_permitted
from fedcredit.scoring.single import LostPoints, Score, SingleScorer, Value

SERVICE = "fedcredit.scoring.v1.Scoring"
METHOD = f"/{SERVICE}/Score"
MOST_CUSTOMERS = 1000
LONGEST_ID = 200
NOT_DECIDED = "nothing is decided now; ask the service's operator"
"""All that a caller learns of a fault whose text names a path of this machine."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of the service."""

    decision_id: str
    customer: str
    score: Score
    reasons: tuple[LostPoints, ...]
    verdict: str | None


class Decider:
    """Decides, writes the log, and names each decision.

    Parameters
    ----------
    card
        The package, made ready for an institution type.
    cut_off
        Smallest number of points that is approved; None for no verdict.
    log, key
        Where decisions are written, and the secret for its hashes of persons.
    permitted
        Raises a ConfigError while the package may not decide; asked before every call.
    """

    def __init__(
        self,
        card: ScoringCard,
        cut_off: int | None = None,
        log: DecisionLog | None = None,
        key: bytes = b"",
        permitted: Permitted = always_permitted,
    ) -> None:
        self.card, self._permitted = card, permitted
        self._scorer, self._cut_off, self._log, self._key = SingleScorer(card), cut_off, log, key
        self._run, self._numbers = secrets.token_hex(8), itertools.count(1)

    @property
    def versions(self) -> dict[str, str]:
        """What decides: institution type and hashes, as every reply names them."""
        package = self.card.package
        return {
            "view": self.card.view,
            "package_hash": package.digest,
            "model_hash": package.model_hash,
            "dictionary_hash": package.head.dictionary,
        }

    def decide(self, customers: list[tuple[str, dict[str, Value]]]) -> list[Decided]:
        """Decide on customers: id and values each.

        Raises
        ------
        DataError
            If a value's name is no feature.
        ConfigError
            If the log cannot be written, or the package is not permitted; nothing is decided then.
        """
        self._permitted()
        scores = [(customer, self._scorer.score(values)) for customer, values in customers]
        decided = [
            Decided(
                f"{self._run}-{next(self._numbers)}",
                customer,
                score,
                self._scorer.reasons(score),
                verdict_of(score.points, self._cut_off),
            )
            for customer, score in scores
        ]
        if self._log is not None:
            self._log.append(self._rows(decided))
        return decided

    def _rows(self, decided: list[Decided]) -> Iterator[Decision]:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        for one in decided:
            yield Decision(
                decision_id=one.decision_id,
                at=at,
                package_hash=self.card.package.digest,
                subject_hash=subject_hash(self._key, one.customer.encode()),
                pd=one.score.pd,
                points=one.score.points,
                reasons=tuple(asdict(reason) for reason in one.reasons),
                flags=one.score.flags,
                verdict=one.verdict,
                cut_off=self._cut_off,
            )


class ScoringService(Server):
    """The service; use as a context manager.

    Parameters
    ----------
    decider
        What decides.
    listen
        Where it listens.
    token
        Hex digits that every call must show; None where the address is enough.
    metrics
        What calls are counted in.

    Raises
    ------
    ConfigError
        If strangers could ask there.
    """

    def __init__(
        self, decider: Decider, listen: Listen, token: str | None = None, metrics: ScoringMetrics | None = None
    ) -> None:
        listen.check(signed=False)
        self._decider, self._metrics = decider, metrics or ScoringMetrics()
        self._versions = decider.versions
        gates = [] if token is None else [TokenGate(token, lambda: self._metrics.rejected("token"), self.is_healthy)]
        decode: Callable[[bytes], pb.ScoreRequest] = pb.ScoreRequest.FromString
        method = grpc.unary_unary_rpc_method_handler(self._score, decode, pb.ScoreReply.SerializeToString)
        super().__init__(SERVICE, {"Score": method}, listen, gates)

    def _score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreReply:
        begun = time.perf_counter()
        try:
            decided = self._decider.decide(_customers(request))
        except DataError as error:
            self._metrics.rejected("request")
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except ConfigError as error:
            _LOG.warning("nobody is decided on: %s", error)
            self._metrics.rejected("own")
            context.abort(grpc.StatusCode.UNAVAILABLE, NOT_DECIDED)
        except Exception:  # noqa: BLE001  (the boundary: gRPC would send the text, which may hold a value)
            _LOG.exception("a call failed")
            context.abort(grpc.StatusCode.INTERNAL, "the call failed; ask the service's operator")
        for one in decided:
            self._metrics.decided(one.verdict, one.score.flags)
        reply = pb.ScoreReply(scores=[_message(one) for one in decided], **self._versions)
        self._metrics.took(time.perf_counter() - begun)
        return reply


def require_askable(ids: Sequence[str]) -> None:
    """Check how many customers a request holds, and their ids.

    Raises
    ------
    DataError
        If there are none or too many, or an id is too long.
    """
    if not 1 <= len(ids) <= MOST_CUSTOMERS:
        raise DataError(f"a request holds 1 to {MOST_CUSTOMERS} customers, got {len(ids)}; split it.")
    if max(len(one) for one in ids) > LONGEST_ID:
        raise DataError(f"an id has {LONGEST_ID} characters at most; shorten it.")


def _customers(request: pb.ScoreRequest) -> list[tuple[str, dict[str, Value]]]:
    require_askable([customer.id for customer in request.customers])
    return [(one.id, {name: _value(value) for name, value in one.values.items()}) for one in request.customers]


def _value(value: pb.Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind is None:
        return None
    return value.number if kind == "number" else value.text


def _message(one: Decided) -> pb.Score:
    return pb.Score(
        id=one.customer,
        pd=one.score.pd,
        points=one.score.points,
        verdict=one.verdict or "",
        reasons=[pb.Reason(feature=r.feature, text=r.text, points_lost=r.points_lost) for r in one.reasons],
        flags=one.score.flags,
        decision_id=one.decision_id,
    )
