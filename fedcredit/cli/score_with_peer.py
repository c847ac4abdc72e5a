"""``fedcredit score-with-peer``: a table's scores, with one consented number per person from another institution."""

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.score import RegistryOption, decision_log, permission, print_summary, progress_bar
from fedcredit.data.sources import open_source, spec_of
from fedcredit.dictionary.mapping import load_mapping
from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key
from fedcredit.package.storage import load_package
from fedcredit.scoring.batch import Joined, Wanted, score_table
from fedcredit.scoring.block_audit import BlockAudit
from fedcredit.scoring.block_messages import TOKEN_BYTES, Outcome
from fedcredit.scoring.card import card_of
from fedcredit.scoring.joint import NO_JOINT_VIEW, JointScorer
from fedcredit.scoring.peer_client import Asking, Numbers, PeerClient
from fedcredit.scoring.peers_file import load_peers
from fedcredit.wire.envelope import SigningKey


def score_with_peer(  # noqa: PLR0913  (a command's options)
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="Folder or zip file.", show_default=False)],
    table: Annotated[str, typer.Argument(metavar="DATA", help="A table with an id column.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="New Parquet file for the scores.")],
    peers: Annotated[Path, typer.Option(help="PEERS.yaml.")],
    peer: Annotated[str, typer.Option(help="Whom to ask, as PEERS.yaml names it.")],
    block: Annotated[str, typer.Option(help="Block to ask for.")],
    purpose: Annotated[str, typer.Option(help="What the number is for, as agreed with the peer.")],
    tokens: Annotated[Path, typer.Option(help="CSV file with columns id and token: who has consented.")],
    view: Annotated[str | None, typer.Option(help="Institution type whose customers the rows are.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Column mapping (YAML); default: same names.")] = None,
    cut_off: Annotated[int | None, typer.Option(help="Approve from so many points on; default: no verdict.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="Append every decision to this SQLite file.")] = None,
    key: Annotated[Path | None, typer.Option(help="data.key, for the log's hashes of persons.")] = None,
    registry: RegistryOption = None,
) -> None:
    """Score a table as 'score' does, and ask a peer for the number of each person whose consent token is given."""
    loaded = load_package(package)
    permitted = permission(registry, loaded)
    card = card_of(loaded, loaded.view(view))
    columns = load_mapping(mapping) if mapping else None
    with ExitStack() as stack:
        log = decision_log(decisions, key, stack)
        if loaded.head.joint is None:
            client, numbers, joined = None, None, None
            typer.echo(NO_JOINT_VIEW)
        else:
            scorer, file = JointScorer(card, block), load_peers(peers)
            entry = file.peer(peer)
            limit = loaded.head.joint.limit
            asking = Asking(file.institution, peer, block, bytes.fromhex(loaded.digest), purpose, limit)
            book = stack.enter_context(BlockAudit(file.audit))
            known = load_tokens(tokens)
            identity, pair = SigningKey.load(file.identity_key), load_pair_key(entry.pair_key)
            client = stack.enter_context(PeerClient(asking, entry, identity, pair, book))
            numbers = Numbers(client, known)
            joined = Joined(scorer, numbers.of)
        shown = stack.enter_context(progress_bar())
        task = shown.add_task("scoring", total=1.0, rows=0)
        summary = score_table(
            card,
            open_source(spec_of(table)),
            columns,
            out,
            Wanted(cut_off, *log, joined, permitted),
            lambda done, rows: shown.update(task, completed=done, rows=rows),
        )
    print_summary(summary, out)
    if client is not None and numbers is not None:
        counts = {outcome.name.lower(): client.counts[outcome] for outcome in Outcome}
        typer.echo(f"{peer}: {', '.join(f'{count:,} {word}' for word, count in counts.items())}")
        if numbers.unasked:
            typer.echo(f"{peer} went away: {numbers.unasked:,} persons with a token were scored without it")


def load_tokens(path: Path) -> dict[bytes, bytes]:
    """Read consent tokens by the person's id.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a token is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["id"].strip().encode(): bytes.fromhex(row["token"]) for row in rows}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ConfigError(f"tokens {path} cannot be read; give a CSV file with columns id and token (hex).") from None
    if any(len(token) != TOKEN_BYTES for token in found.values()):
        raise ConfigError(f"tokens {path}: a token has {2 * TOKEN_BYTES} hex digits; ask the person's institution.")
    return found
