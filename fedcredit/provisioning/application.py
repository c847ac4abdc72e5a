"""What an institution signs to join a consortium, to change its keys, or to leave.

This is the certificate request of a consortium on Flower 1.41: its nodes have no client certificates, so what an
operator is asked to admit is a pair of public keys, the identity key and the node key, in an entry of the roster. A
request to join is signed by both keys that it names. One to change keys is signed by the identity key that the roster
pins and by each new key, so that nobody can enter a key that is not theirs; it and one to leave name the roster that
they change, so that neither can be used a second time.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedcredit.dictionary.model_file import load_model
from fedcredit.roster import HashHex, Member, Roster
from fedcredit.wire.canonical import canonical_json, length_prefixed
from fedcredit.wire.envelope import SigningKey, verify_signature
from fedcredit.wire.node_keys import is_signed_with_node_key, sign_with_node_key

SUFFIX = ".application.yaml"
_MOST_DIGITS = 3

Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
# DER of two numbers: 139 bytes at most on P-521.
NodeSignature = Annotated[str, Field(pattern=r"^([0-9a-f]{2}){8,144}$")]


class Change(StrEnum):
    """What is asked for."""

    JOIN = "join"
    ROTATE = "rotate"
    LEAVE = "leave"


class Application(BaseModel):
    """One signed request.

    Attributes
    ----------
    roster
        Hash of the roster that is to change; None for a request to join, which holds whatever the others are.
    member
        The entry as it shall be; for a request to leave, as it is.
    signature
        By the key that the roster pins; for a request to join, by the member's own.
    new_key_signature
        By the new identity key, where there is one.
    node_key_signature
        By the node key, where it is one that the roster does not pin yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["fedcredit-application/1"] = "fedcredit-application/1"
    change: Change
    roster: HashHex | None = None
    member: Member
    signature: Signature
    new_key_signature: Signature | None = None
    node_key_signature: NodeSignature | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if (self.change is Change.JOIN) != (self.roster is None):
            raise ValueError("roster, the hash of what is changed, belongs to rotate and leave; have it made anew")
        if (self.change is Change.ROTATE) != (self.new_key_signature is not None):
            raise ValueError("new_key_signature belongs to rotate; have it made anew")
        return self

    def faults(self, pinned: Roster | None) -> list[str]:
        """What keeps this request from being folded into a roster, one sentence each.

        Parameters
        ----------
        pinned
            The roster that is to change; None for the first.
        """
        present = None if pinned is None else pinned.member(self.member.id)
        if self.change is Change.JOIN:
            return self._join_faults(present)
        name = self.member.id
        if pinned is None or present is None:
            return [f"{name} asks to {self.change} and is no member; it asks to join instead."]
        if self.roster != pinned.digest().hex():
            return [f"{name} asks to {self.change} from another roster than this one; have it ask again."]
        if not self._holds(present.public_key):
            return [f"{name}'s request to {self.change} {_NOT_SIGNED}"]
        return self._entry_faults(present)

    def to_yaml(self) -> bytes:
        """The file's bytes."""
        values = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=400).encode()

    def _join_faults(self, present: Member | None) -> list[str]:
        if present is not None:
            return [f"{present.id} is a member already; it asks to rotate or to leave instead."]
        if not self._holds(self.member.public_key):
            return [f"{self.member.id}'s request to join {_NOT_SIGNED}"]
        return self._node_key_faults(None)

    def _entry_faults(self, present: Member) -> list[str]:
        """A rotation changes keys and nothing else; a request to leave changes nothing."""
        name, kept = self.member.id, {"public_key", "node_key"} if self.change is Change.ROTATE else set()
        if present.model_dump(exclude=kept) != self.member.model_dump(exclude=kept):
            return [f"{name} asks to {self.change} with another entry than the roster has; have it ask again."]
        new_key = bytes.fromhex(self.member.public_key)
        proof = bytes.fromhex(self.new_key_signature or "")
        if self.change is Change.ROTATE and not verify_signature(new_key, self._to_sign(), proof):
            return [f"{name} did not sign with the new key that it names; have it ask again."]
        return self._node_key_faults(present.node_key)

    def _node_key_faults(self, pinned: str | None) -> list[str]:
        """Whoever names another node key than the pinned one has it."""
        key, proof = self.member.node_key, bytes.fromhex(self.node_key_signature or "")
        if key in (None, pinned) or is_signed_with_node_key(key, self._to_sign(), proof):
            return []
        if proof:
            return [f"{self.member.id} did not sign with the node key that it names; have it ask again."]
        anew = "make it anew, by 'fedcredit institution init' in an empty folder"
        again = "ask again, by 'fedcredit institution rotate-key'"
        fault = (
            f"{self.member.id}'s application does not prove that it has the node key that it names, as none of an "
            f"earlier version does; have it {anew if self.change is Change.JOIN else again}."
        )
        return [fault]

    def _holds(self, public_key: str) -> bool:
        return verify_signature(bytes.fromhex(public_key), self._to_sign(), bytes.fromhex(self.signature))

    def _to_sign(self) -> bytes:
        return _to_sign(self.change, self.member, self.roster)


_NOT_SIGNED = "was changed after it was signed, or is not its own; have it sent again, unchanged."


def apply_to_join(member: Member, key: SigningKey, node_key: bytes | None = None) -> Application:
    """Ask to join as `member`, whose identity key is `key`.

    Parameters
    ----------
    node_key
        Private half of the member's node key, if it names one.
    """
    data = _to_sign(Change.JOIN, member, None)
    proof = None if node_key is None else sign_with_node_key(node_key, data).hex()
    return Application(change=Change.JOIN, member=member, signature=key.sign(data).hex(), node_key_signature=proof)


def apply_to_rotate(
    member: Member, old: SigningKey, new: SigningKey, pinned: Roster, node_key: bytes | None = None
) -> Application:
    """Ask to have another identity key in the version after `pinned`, and another node key where one is given.

    Parameters
    ----------
    node_key
        Private half of the new node key that `member` names; None if it keeps its present one.
    """
    data = _to_sign(Change.ROTATE, member, pinned.digest().hex())
    return Application(
        change=Change.ROTATE,
        roster=pinned.digest().hex(),
        member=member,
        signature=old.sign(data).hex(),
        new_key_signature=new.sign(data).hex(),
        node_key_signature=None if node_key is None else sign_with_node_key(node_key, data).hex(),
    )


def apply_to_leave(member: Member, key: SigningKey, pinned: Roster) -> Application:
    """Ask to be left out of the version after `pinned`."""
    roster = pinned.digest().hex()
    signature = key.sign(_to_sign(Change.LEAVE, member, roster)).hex()
    return Application(change=Change.LEAVE, roster=roster, member=member, signature=signature)


def load_application(path: Path) -> Application:
    """Read a request; no signature is checked yet.

    Raises
    ------
    ConfigError
        If the file is missing or no request.
    """
    return load_model(Application, path, "application", "have the institution send it again.")


def size_fault(public_size: int) -> str | None:
    """What is wrong with a size that is to be published: the roster's are rounded, so that they tell little."""
    digits = str(public_size).rstrip("0")
    if len(digits) <= _MOST_DIGITS:
        return None
    step = 10 ** (len(str(public_size)) - 2)
    return f"size {public_size} is not rounded and would be published; write {round(public_size / step) * step}."


def _to_sign(change: Change, member: Member, roster: str | None) -> bytes:
    entry = canonical_json(member.model_dump(mode="json"))
    return length_prefixed("institution-application", change.encode(), entry, bytes.fromhex(roster or ""))
