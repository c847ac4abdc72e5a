"""``fedcredit linked``: persons known to two institutions, joined at one of them with their consent.

For an institution's own console. The order at both ends is: the line is in the log of links, then the file is written.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from fedcredit.audit.lines import Link
from fedcredit.cli.linked_job import budget, plan, roster, site
from fedcredit.custodian.policy import load_policy
from fedcredit.custodian.site_file import SiteFile, load_site_file, membership_problems, site_mapping
from fedcredit.data.sources import open_source
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import ConfigError
from fedcredit.key_files import load_pair_key, make_pair_key
from fedcredit.linked.consenting import Holder
from fedcredit.linked.dictionary import ID_COLUMN, added_blocks, linked_dictionary
from fedcredit.linked.log import link_log_of, newest, record
from fedcredit.linked.offer import Offer, OfferUse, new_terms
from fedcredit.linked.offer_file import encode_table, named_sender, open_offer, write_offer
from fedcredit.linked.released import model_hash, require_released_here
from fedcredit.linked.tables import linked_table, offer_of
from fedcredit.linked.witness import require_latest
from fedcredit.models.released_file import load_released
from fedcredit.provisioning.new_files import require_absent, write_file
from fedcredit.roster import Member, Roster
from fedcredit.roster_file import load_roster
from fedcredit.wire.envelope import SigningKey

app = typer.Typer(no_args_is_help=True, help="Link rows of persons who consent with another institution's scores.")
for file_of_a_job in (budget, roster, plan, site):
    app.command()(file_of_a_job)

FEWEST_PERSONS = 50
"""Of a linked table, unless the operator says otherwise."""

_SITE = typer.Argument(metavar="SITE", help="SITE.yaml of the base job.", show_default=False)
_MODEL = typer.Argument(metavar="MODEL", help="The released base model (JSON).", show_default=False)
_PURPOSE = typer.Option(help="What the link is for, in the words of the consent.", show_default=False)
_PERSON = typer.Option(help="Column with the id that both spell alike; default: the mapping's id_column.")
_OUT = typer.Option(help="The file to write; an existing one is kept.", show_default=False)


@app.command()
def key(out: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)]) -> None:
    """Make the key that two institutions share; give it to the other one in person or by a channel of your own."""
    make_pair_key(out)
    typer.echo(f"wrote {out}, mode 0600; whoever holds it can look up any id in an offer, so two hold it and no more")


@app.command()
def dictionary(
    base: Annotated[Path, typer.Argument(metavar="DICT", help="The base dictionary (YAML).", show_default=False)],
    model: Annotated[Path, _MODEL],
    *,
    kind: Annotated[str, typer.Option(help="Institution type whose customers are scored.", show_default=False)],
    other: Annotated[str, typer.Option(help="Institution type whose block is added.", show_default=False)],
    out: Annotated[Path, _OUT],
) -> None:
    """Write the dictionary of the linked job; everybody who has the same model writes the same one."""
    contract = load_dictionary(base)
    linked = linked_dictionary(contract, kind, other, model_hash(load_released(model)))
    text = yaml.safe_dump(linked.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_file(out, text.encode())
    typer.echo(f"wrote {out}, dictionary {linked.digest().hex()[:16]}")


@app.command()
def offer(
    site: Annotated[Path, _SITE],
    model: Annotated[Path, _MODEL],
    *,
    to: Annotated[str, typer.Option(help="Institution of the roster that it is for.", show_default=False)],
    pair_key: Annotated[Path, typer.Option(help="The key shared with it.", show_default=False)],
    purpose: Annotated[str, _PURPOSE],
    expires: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of use.", show_default=False)],
    out: Annotated[Path, _OUT],
    person: Annotated[str | None, _PERSON] = None,
) -> None:
    """Write what this institution's own block says of persons who consent: a hash and one coarse number each."""
    require_absent(out)
    file, signing, roster = _site(site)
    _require_purpose(file, purpose)
    receiver, released = _member(roster, to), _released(model, file, signing)
    if expires.date() < _today():
        raise ConfigError(f"--expires {expires.date()} is over; give a day to come.")
    holder = _holder(file, person)
    use = OfferUse(
        sender=file.institution,
        receiver=to,
        dictionary=holder.dictionary.digest().hex(),
        model=model_hash(released).hex(),
        purpose=purpose,
    )
    before = newest(link_log_of(file.ledger), signing)
    terms = new_terms(use, expires.date(), before)
    with Console(stderr=True).status("reading and scoring consenting rows"):
        made = offer_of(holder, released, terms, receiver.kind, load_pair_key(pair_key))
    _log(file, signing, "offer", made, before)
    write_offer(out, made, signing)
    typer.echo(f"wrote {out}: {len(made.persons)} persons for {to}, for {purpose!r} until {expires.date()}")
    typer.echo(f"{to} learns that they are known here, and one number each; no ledger is charged for it")


@app.command()
def table(
    site: Annotated[Path, _SITE],
    model: Annotated[Path, _MODEL],
    offers: Annotated[list[Path], typer.Argument(metavar="OFFER…", help="Offers to join.", show_default=False)],
    *,
    pair_key: Annotated[
        list[str], typer.Option(metavar="SENDER=FILE", help="Key shared with a sender.", show_default=False)
    ],
    purpose: Annotated[str, _PURPOSE],
    out: Annotated[Path, _OUT],
    fewest: Annotated[int, typer.Option(min=1, help="Persons below which nothing is linked.")] = FEWEST_PERSONS,
    person: Annotated[str | None, _PERSON] = None,
) -> None:
    """Join offers with this institution's own consenting rows: the table of the linked job's SITE.yaml."""
    require_absent(out)
    file, signing, roster = _site(site)
    holder, released = _holder(file, person), _released(model, file, signing)
    use = OfferUse(
        sender=file.institution,
        receiver=file.institution,
        dictionary=holder.dictionary.digest().hex(),
        model=model_hash(released).hex(),
        purpose=purpose,
    )
    keys = _pair_keys(pair_key)
    opened = [_opened(path, keys, roster, use, holder) for path in offers]
    _require_one_kind(_member(roster, one.terms.sender).kind for one, _ in opened)
    _require_own_keys({one.terms.sender: key for one, key in opened})
    require_latest(link_log_of(file.ledger), signing, [one for one, _ in opened])
    owner = holder.dictionary.institution_type(file.kind)
    with Console(stderr=True).status("joining and scoring consenting rows"):
        rows = linked_table(holder, released, opened, owner.id_column or ID_COLUMN, fewest)
    data = encode_table(rows)
    for one, _ in opened:
        _log(file, signing, "table", one, table=hashlib.sha256(data).hexdigest())
    write_file(out, data, secret=True)
    typer.echo(f"wrote {out}: {rows.num_rows} linked rows; the linked job's SITE.yaml names it as data")
    typer.echo("keep population, ledger and data_key of the base job there: both jobs are charged to one budget")
    typer.echo("declare a rounded public size: whoever sent an offer can read from it how many of those you know")


def _opened(path: Path, keys: dict[str, Path], roster: Roster, use: OfferUse, holder: Holder) -> tuple[Offer, bytes]:
    """An offer that is for this use, from a member with a block of its own to add, and the key of the pair."""
    sender = named_sender(path)
    if sender not in keys:
        raise ConfigError(f"offer {path} is from {sender!r}; add --pair-key {sender}=FILE.")
    member = _member(roster, sender)
    added_blocks(holder.dictionary, holder.kind, member.kind)
    expected = use.model_copy(update={"sender": sender})
    offer = open_offer(path, bytes.fromhex(member.public_key), expected, _today())
    return offer, load_pair_key(keys[sender])


def _require_one_kind(kinds: Iterable[str]) -> None:
    found = sorted(set(kinds))
    if len(found) > 1:
        raise ConfigError(
            f"the offers come from types {' and '.join(found)}; a linked job weighs one of them: make a table each."
        )


def _require_own_keys(keys: Mapping[str, bytes]) -> None:
    if len(set(keys.values())) < len(keys):
        raise ConfigError(
            f"{' and '.join(keys)} have the same pair key, so each can look up whom the other offers; make another."
        )


def _site(path: Path) -> tuple[SiteFile, SigningKey, Roster]:
    file = load_site_file(path)
    signing, roster = SigningKey.load(file.identity_key), load_roster(file.roster)
    if roster.expired(_today()):
        raise ConfigError(f"roster {file.roster} was valid until {roster.expires}; who is a member now is not known.")
    for problem in membership_problems(file, roster, signing):
        raise ConfigError(problem)
    return file, signing, roster


def _require_purpose(file: SiteFile, purpose: str) -> None:
    """Offers leave under the policy that holds for jobs: whoever runs this command may not choose another purpose."""
    allowed = load_policy(file.policy).purposes if file.policy is not None else (purpose,)
    if purpose not in allowed:
        raise ConfigError(f"purpose {purpose!r} is not among those of policy {file.policy}: {', '.join(allowed)}.")


def _holder(file: SiteFile, person: str | None) -> Holder:
    contract = load_dictionary(file.dictionary)
    mapping = site_mapping(file, contract)
    column = person or mapping.id_column
    if column is None:
        raise ConfigError(
            "the mapping names no id_column; give --person, the column with the id that both spell alike."
        )
    unit = None if file.policy is None else load_policy(file.policy).unit.value
    return Holder(contract, file.kind, mapping, open_source(file.data), column, unit)


def _member(roster: Roster, name: str) -> Member:
    member = roster.member(name)
    if member is None:
        raise ConfigError(f"{name!r} is not in the roster; known: {', '.join(one.id for one in roster.members)}.")
    return member


def _released(path: Path, file: SiteFile, signing: SigningKey) -> dict[str, Any]:
    """The base model, which must be one of this institution's own jobs."""
    released = load_released(path)
    require_released_here(released, file.ledger, signing.public)
    return released


def _pair_keys(pairs: list[str]) -> dict[str, Path]:
    keys = {}
    for pair in pairs:
        sender, equals, path = pair.partition("=")
        if not equals:
            raise ConfigError(f"--pair-key {pair!r} names no sender; write SENDER=FILE.")
        keys[sender] = Path(path)
    return keys


def _log(file: SiteFile, signing: SigningKey, event: str, made: Offer, after: Link | None = None, **more: str) -> None:
    values = {
        "event": f"linked {event}",
        "offer": made.hash.hex(),
        "persons": len(made.persons),
        **made.terms.model_dump(mode="json"),
        **more,
    }
    record(link_log_of(file.ledger), signing, datetime.now(UTC), values, after)


def _today() -> date:
    return datetime.now(UTC).date()
