"""``fedcredit consortium``: the coordinator's operator makes the coordinator's files, and rosters from applications."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.errors import ConfigError
from fedcredit.provisioning.application import load_application
from fedcredit.provisioning.certificates import ServerCertificate
from fedcredit.provisioning.consortium import ConsortiumRequest, new_consortium
from fedcredit.provisioning.invitation import fingerprint
from fedcredit.provisioning.new_files import require_absent, write_new
from fedcredit.provisioning.roster_update import differences, next_roster, succession_faults
from fedcredit.roster import Roster
from fedcredit.roster_file import SignedRoster, load_roster, read_roster_file, write_roster_file

app = typer.Typer(no_args_is_help=True, help="Found a consortium, and fold applications into its roster.")

_YEAR = timedelta(days=365)
_EXAMPLES = {"uci": ("fedcredit.data.uci", "uci_credit.yaml")}

RosterArgument = Annotated[Path, typer.Argument(help="The coordinator's roster file.", show_default=False)]


@app.command()
def init(  # noqa: PLR0913  (an option each)
    folder: Annotated[Path, typer.Argument(help="Where the coordinator's files shall be.", show_default=False)],
    *,
    host: Annotated[str, typer.Option(help="Name or address under which institutions reach it.", show_default=False)],
    name: Annotated[str, typer.Option(help="The coordinator's name.")] = "coordinator",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The one port that institutions reach.")] = 9443,
    region: Annotated[str | None, typer.Option(help="Where it runs, in the roster's words.")] = None,
    dictionary: Annotated[Path | None, typer.Option(help="The data dictionary (YAML).", show_default=False)] = None,
    example: Annotated[str | None, typer.Option(help="Instead of --dictionary: uci, the packaged example.")] = None,
    bundle: Annotated[
        list[str] | None, typer.Option(help="SHA-256 of the coordinator's app bundle; may be given again.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="A TLS certificate of your own, with its chain.")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate of the CA that issued it.")] = None,
) -> None:
    """Write key, COORDINATOR.yaml, PLAN.yaml, dictionary, TLS files, and the invitation for institutions."""
    asked = ConsortiumRequest(
        name=name,
        host=host,
        port=port,
        region=region,
        dictionary=_dictionary(dictionary, example),
        bundles=tuple(bundle or ()),
        certificate=_given(certificate, certificate_key, ca),
    )
    made = new_consortium(asked, datetime.now(UTC))
    write_new(folder, made.files)
    letter = made.invitation.letter
    typer.echo(f"wrote {len(made.files)} files to {folder}; keys/ and tls/*.key are secret: back them up")
    typer.echo(f"coordinator {letter.coordinator}, public key {letter.coordinator_key}")
    typer.echo(f"key fingerprint {fingerprint(letter.coordinator_key)}")
    typer.echo(f"give {folder / 'invitation'} to each institution; nothing in it is secret")
    typer.echo(f"invitation hash, to be read out over a second channel: {made.invitation.digest().hex()}")


@app.command()
def enroll(
    roster: RosterArgument,
    applications: Annotated[
        list[Path] | None, typer.Argument(help="What institutions sent.", show_default=False)
    ] = None,
    *,
    expires: Annotated[
        str | None, typer.Option(help="Last day, YYYY-MM-DD; in a year if left out.", show_default=False)
    ] = None,
) -> None:
    """Make version 1 of the roster, or the next version in a file beside it; every member then approves it."""
    today = datetime.now(UTC).date()
    pinned = read_roster_file(roster) if roster.exists() else None
    asked = [load_application(path) for path in applications or ()]
    if not asked and pinned is None:
        raise ConfigError("version 1 of a roster needs an application; name the files that institutions sent.")
    new = next_roster(pinned, asked, today + _YEAR if expires is None else _day(expires), today)
    out = roster if pinned is None else roster.with_name(f"{roster.stem}-v{new.version}{roster.suffix}")
    require_absent(out)
    write_roster_file(out, SignedRoster(new, {}))
    for line in differences(None if pinned is None else pinned.roster, new):
        typer.echo(line)
    typer.echo(f"wrote {out}: version {new.version}, {len(new.members)} members, hash {new.digest().hex()}")
    typer.echo(f"each member runs: fedcredit institution approve SITE.yaml {out.name}")
    typer.echo(f"when it is back, signed by all: fedcredit consortium adopt {roster} {out.name}")


@app.command()
def adopt(
    roster: RosterArgument,
    new: Annotated[Path, typer.Argument(help="The version that is signed by all members.", show_default=False)],
    *,
    through: Annotated[
        list[Path] | None, typer.Option(help="A linked job's roster in between.", show_default=False)
    ] = None,
) -> None:
    """Put a version that all its members have signed, the first or the next, in the roster's place."""
    following = load_roster(new)
    faults = succession_faults(
        _replaced(roster, following), following, tuple(load_roster(one) for one in through or ())
    )
    if faults:
        raise ConfigError(f"roster {new} is not taken over: {' '.join(faults)}")
    write_roster_file(roster, read_roster_file(new))
    typer.echo(f"{roster} is version {following.version} now; restart the coordinator")


def _replaced(roster: Path, following: Roster) -> Roster | None:
    """The roster that a version has to follow; None for the first, of which the operator's copy is not signed yet."""
    if not roster.exists() or read_roster_file(roster).roster.digest() == following.digest():
        return None
    return load_roster(roster)


def _dictionary(path: Path | None, example: str | None) -> bytes:
    if (path is None) == (example is None):
        raise ConfigError("a consortium needs one data dictionary; give --dictionary FILE, or --example uci.")
    if path is not None:
        return _read(path, "dictionary")
    if example not in _EXAMPLES:
        raise ConfigError(f"example {example!r} is unknown; there is: {', '.join(_EXAMPLES)}.")
    package, name = _EXAMPLES[example]
    return files(package).joinpath(name).read_bytes()


def _given(certificate: Path | None, key: Path | None, ca: Path | None) -> ServerCertificate | None:
    if certificate is None and key is None and ca is None:
        return None
    if certificate is None or key is None or ca is None:
        raise ConfigError("--certificate, --certificate-key and --ca belong together; give all three, or none.")
    return ServerCertificate(
        _read(certificate, "certificate"), _read(key, "certificate key"), _read(ca, "CA certificate")
    )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read ({error.strerror}); check the path.") from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a day; write --expires as YYYY-MM-DD.") from error
