"""The custodian's side of a check: data, policy, keys, roster, ledger and token, as SITE.yaml names them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from fedcredit.custodian.policy import Policy, load_policy
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.custodian.site_check import examine_data, roster_problems, units_against
from fedcredit.custodian.site_file import SiteFile
from fedcredit.dictionary.schema import load_dictionary
from fedcredit.errors import CheckError, ConfigError, FedcreditError, LedgerError
from fedcredit.key_files import load_data_key
from fedcredit.linked.in_use import require_usable
from fedcredit.node_file import NodeFile
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.ledger_read import LedgerReader
from fedcredit.privacy.printed import at_most_digits
from fedcredit.provisioning.checks import Row, Verdict, checked, judged, skipped
from fedcredit.roster_file import read_roster_file
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.node_keys import node_key_text

_SOON_DAYS = 30


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """What is looked at; NODE.yaml is None where only the custodian's side is checked.

    Attributes
    ----------
    released
        Folder of a finished job, with whose released counts units are compared; None to leave that out.
    """

    file: SiteFile
    node: NodeFile | None
    today: date
    released: Path | None = None

    def rows(self) -> list[Row]:
        """All rows of this side."""
        policy = self._policy()
        return [
            self._policy_row(),
            self._data_row(policy),
            *self._units_rows(),
            checked("identity key", self._identity),
            checked("data key", self._data_key),
            self._node_key_row(),
            self._roster_row(),
            self._ledger_row(),
            self._token_row(),
        ]

    def _policy(self) -> Policy | None:
        try:
            return load_policy(self.file.policy) if self.file.policy is not None else None
        except (FedcreditError, OSError):
            return None  # its own row says why

    def _policy_row(self) -> Row:
        path, declared = self.file.policy, self.file.not_private
        if path is None:
            return skipped("policy", f"the data are declared {declared.declared if declared else ''}; there is none")

        def look() -> str:
            found = load_policy(path)
            promised = f"epsilon {at_most_digits(found.epsilon, 6)} at delta {at_most_digits(found.delta, 6)}"
            return f"{promised}, unit {found.unit.value}"

        return checked("policy", look)

    def _data_row(self, policy: Policy | None) -> Row:
        def look() -> str:
            found = examine_data(self.file, policy)
            if found.problems:
                raise CheckError(found.problems)
            notes = "".join(f"\nnote: {note}" for note in found.notes)
            return f"{found.n_columns} declared columns read, no problem found{notes}"

        return checked("data", look)

    def _units_rows(self) -> list[Row]:
        run = self.released
        if run is None:
            return []

        def look() -> str:
            if problems := units_against(self.file, run):
                raise CheckError(problems)
            return f"no column looks as if it had another unit than in the counts that {run} released"

        return [checked("units", look)]

    def _identity(self) -> str:
        key = SigningKey.load(self.file.identity_key)
        return f"{self.file.identity_key}, public key {key.public.hex()}"

    def _data_key(self) -> str:
        load_data_key(self.file.data_key)
        return f"{self.file.data_key}"

    def _node_key_row(self) -> Row:
        node = self.node
        if node is None:
            return skipped("node key", _NO_NODE)
        return checked("node key", lambda: f"{node.node_key}, public half …{load_node_key(node.node_key)[-16:]}")

    def _roster_row(self) -> Row:
        if not self.file.roster.exists():
            return Row(
                "roster",
                Verdict.FAILED,
                f"{self.file.roster} is not there yet; send the application, and when the roster comes: fedcredit "
                "institution approve SITE.yaml ROSTER",
            )
        try:
            signed = read_roster_file(self.file.roster)
        except FedcreditError as error:
            return Row("roster", Verdict.FAILED, str(error))
        problems = [*roster_problems(self.file, signed, self._key()), *self._node_problems()]
        left = (signed.roster.expires - self.today).days
        soon = f", {left} days: have the next version made" if left < _SOON_DAYS else ""
        return judged(
            "roster",
            problems,
            f"version {signed.roster.version}, {len(signed.roster.members)} members, signed by all, valid to the end "
            f"of {signed.roster.expires}{soon}",
        )

    def _key(self) -> SigningKey | None:
        try:
            return SigningKey.load(self.file.identity_key)
        except (FedcreditError, OSError):
            return None  # its own row says why

    def _node_problems(self) -> list[str]:
        """Whether the coordinator will take this node for this institution's."""
        member = read_roster_file(self.file.roster).roster.member(self.file.institution)
        if self.node is None or member is None or member.node_key is None:
            return []
        try:
            own = public_half(self.node.node_key)
        except (FedcreditError, OSError):
            return []  # the row of the node key says why
        if own == member.node_key:
            return []
        problem = (
            f"the roster has another node key for {self.file.institution} than {self.node.node_key}.pub; put the right "
            "key there, or run: fedcredit institution rotate-key SITE.yaml --node NODE.yaml"
        )
        return [problem]

    def _linked_rows(self, ledger: LedgerReader, key: SigningKey) -> None:
        """They belong to the ledger of the job whose model scored them, and their offers expire."""
        try:
            dictionary = load_dictionary(self.file.dictionary)
        except FedcreditError:
            return  # the row of the data says why
        if self.file.policy is not None:
            require_usable(dictionary, self.file.data, self.file.ledger, ledger, key.public, self.today)

    def _ledger_row(self) -> Row:
        key = self._key()
        if key is None:
            return skipped("ledger", "the identity key cannot be read")
        return checked("ledger", lambda: self._ledger(key))

    def _ledger(self, key: SigningKey) -> str:
        path = self.file.ledger
        if not path.exists():
            raise LedgerError(f"ledger {path} is not there yet; run: fedcredit ledger open SITE.yaml")
        with Ledger.read(path, key.public) as ledger:
            population = ledger.account.population
            if population != self.file.population:
                raise LedgerError(
                    f"ledger {path} is for population {population!r}, SITE.yaml for {self.file.population!r}; correct "
                    "SITE.yaml, or open a ledger of its own."
                )
            if ledger.signer != key.public:
                raise LedgerError(
                    f"ledger {path} goes on under another key than {self.file.identity_key}; finish its change with "
                    "'fedcredit institution adopt'."
                )
            if ledger.rolled_back:
                raise LedgerError(f"ledger {path} is an older copy; run: fedcredit ledger recover SITE.yaml")
            self._linked_rows(ledger, key)
            return f"population {population}, {ledger.event_count} events, all hold"

    def _token_row(self) -> Row:
        own = self.file.relay_token
        others = self.node.relay_token if self.node is not None else None
        if own is None and others is None:
            return skipped("token", "SITE.yaml names no relay_token: the socket's mode decides who may connect")

        def look() -> str:
            if own is None or (others is None and self.node is not None):
                raise ConfigError("only one of SITE.yaml and NODE.yaml names a relay_token; name the same in both.")
            if others is not None and load_relay_token(own) != load_relay_token(others):
                raise ConfigError(f"{others} holds another token than {own}; copy the custodian's to the node.")
            load_relay_token(own)
            return f"{own}"

        return checked("token", look)


_NO_NODE = "no NODE.yaml was given"


def load_node_key(path: Path) -> str:
    """Read a node's private key and compare it with the public half beside it; the public half as text.

    Raises
    ------
    ConfigError
        If a file is missing, readable by others, no such key, or another key's half.
    """
    if not path.exists():
        raise ConfigError(f"node key {path} does not exist; 'fedcredit institution init' makes it.")
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"node key {path} is readable by others; run: chmod 600 {path}")
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigError(f"node key {path} is no OpenSSH key without a password; make a new one.") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError(f"node key {path} is no elliptic-curve key, which Flower needs; make a new one.")
    own = node_key_text(key.public_key())
    if public_half(path) != own:
        raise ConfigError(f"{path}.pub is not the public half of {path}; write it anew: ssh-keygen -y -f {path}")
    return own


def public_half(path: Path) -> str:
    """The public key beside a node's private one, without its comment."""
    public = path.with_name(f"{path.name}.pub")
    if not public.exists():
        raise ConfigError(f"{public} does not exist; write it anew: ssh-keygen -y -f {path}")
    return " ".join(public.read_text(encoding="utf-8", errors="replace").split()[:2])
