"""``fedcredit serve``: the scoring service of one institution, or its answers to peers (``--block``)."""

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.score import RegistryOption, decision_log, permission
from fedcredit.cli.serving import LogFormat, log_to_stderr, say, stop_signals
from fedcredit.custodian.address import LOOPBACK
from fedcredit.custodian.metrics_port import served
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.data.sources import open_source
from fedcredit.dictionary.mapping import load_mapping
from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key
from fedcredit.package.contents import ModelPackage
from fedcredit.package.storage import load_package
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_service import (
    Answerer,
    BlockService,
    answering_of,
    keys_of,
    read_numbers,
    require_few_values,
)
from fedcredit.scoring.card import card_of
from fedcredit.scoring.consents import ConsentFile
from fedcredit.scoring.http_face import http_face
from fedcredit.scoring.joint import BlockScorer
from fedcredit.scoring.listening import Tls, parse_listen
from fedcredit.scoring.metrics import ScoringMetrics
from fedcredit.scoring.peers_file import load_peers
from fedcredit.scoring.service import Decider, ScoringService
from fedcredit.wire.envelope import SigningKey

_LOG = logging.getLogger(__name__)


def serve(  # noqa: PLR0913  (a command's options)
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Folder or zip file.", show_default=False)],
    *,
    view: Annotated[str | None, typer.Option(help="Institution type whose customers are scored.")] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT; beyond loopback TLS is needed.")] = "127.0.0.1:8571",
    cut_off: Annotated[int | None, typer.Option(help="Approve from so many points on; default: no verdict.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="Append every decision to this SQLite file.")] = None,
    key: Annotated[Path | None, typer.Option(help="data.key, for the log's hashes of persons.")] = None,
    token: Annotated[Path | None, typer.Option(help="File with the token that callers must show.")] = None,
    block: Annotated[str | None, typer.Option(help="Answer peers' questions for this block instead.")] = None,
    peers: Annotated[Path | None, typer.Option(help="PEERS.yaml; needed with --block.")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file.")] = None,
    tls_clients: Annotated[Path | None, typer.Option(help="Authority of callers' certificates, PEM file.")] = None,
    http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="HTTP/JSON too, on loopback; 0 chooses a port.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Prometheus, on loopback.")] = None,
    registry: RegistryOption = None,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log on standard error.")] = LogFormat.TEXT,
) -> None:
    """Serve scores over gRPC (and HTTP) until SIGTERM or Ctrl-C; with --block one consented number for a peer."""
    log_to_stderr(log_format)
    where = parse_listen(listen, _tls(tls_certificate, tls_key, tls_clients))
    loaded, metrics = load_package(package), ScoringMetrics()
    permitted = permission(registry, loaded)
    with ExitStack() as stack:
        wait = stack.enter_context(stop_signals())
        service: BlockService | ScoringService
        http = ""
        if block is None:
            log = decision_log(decisions, key, stack)
            decider = Decider(card_of(loaded, loaded.view(view)), cut_off, *log, permitted)
            shown = None if token is None else load_relay_token(token)
            service = ScoringService(decider, where, shown, metrics)
            if http_port is not None:
                http = f"{LOOPBACK}:{stack.enter_context(http_face(decider, http_port, shown, metrics))}"
        elif http_port is not None:
            raise ConfigError("--http-port serves scores, not answers to peers; leave it out with --block.")
        else:
            answerer = replace(_answerer(loaded, view, block, peers, stack), permitted=permitted)
            service = BlockService(answerer, where, metrics)
        if metrics_port is not None:
            stack.enter_context(served(metrics, metrics_port))
        stack.enter_context(service)
        address = f"{where.host}:{service.port}"
        fields = {"package": loaded.digest, "address": address, "block": block or "", "http": http}
        also = f", HTTP on {http}" if http else ""
        say(log_format, "serving", fields, f"package {loaded.digest[:16]} on {address}{also}")
        wait()
    say(log_format, "stopped", {}, "")


def _tls(certificate: Path | None, key: Path | None, clients: Path | None) -> Tls | None:
    if certificate is None and key is None and clients is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("TLS needs both --tls-certificate and --tls-key.")
    return Tls(certificate, key, clients)


def _answerer(package: ModelPackage, view: str | None, block: str, peers: Path | None, stack: ExitStack) -> Answerer:
    if peers is None:
        raise ConfigError("--block answers named peers only; give --peers PEERS.yaml.")
    file = load_peers(peers)
    answering = answering_of(file)
    require_few_values(package, answering)
    owners = [kind for kind, one in package.dictionary.institution_types.items() if block in one.owns]
    scorer = BlockScorer(package, package.view(view or (owners[0] if len(owners) == 1 else None)), block)
    mapping = load_mapping(answering.mapping) if answering.mapping else None
    keys = keys_of(file, lambda peer: load_pair_key(peer.pair_key))
    numbers, repeated = read_numbers(scorer, open_source(answering.data), mapping, keys)
    if repeated:
        _LOG.warning("persons who stand in several rows are refused")
    return Answerer(
        file=file,
        key=SigningKey.load(file.identity_key),
        block=block,
        package=bytes.fromhex(package.digest),
        numbers=numbers,
        consents=ConsentFile(answering.consents),
        per_person=answering.per_person,
        book=stack.enter_context(BlockAudit(file.audit)),
    )
