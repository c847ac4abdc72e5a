"""Signed envelopes: who says what.

The signature (Ed25519, RFC 8032) is over the length-prefixed fields, never over re-serialised protobuf.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedcredit.errors import ConfigError, RefusalError, WireError
from fedcredit.wire import fedcredit_pb2 as pb
from fedcredit.wire.canonical import PROTOCOL_VERSION, digest, length_prefixed
from fedcredit.wire.messages import SIGNATURE_BYTES, Message, decode_message, encode_message, parse_strictly

PUBLIC_KEY_BYTES = 32
LONGEST_SENDER = 63


@dataclass(frozen=True, slots=True)
class Envelope:
    """A decoded envelope whose signature has not been checked yet.

    Attributes
    ----------
    kind
        Wire number of the message kind.
    sender
        Claimed sender; proved only by `verify`.
    payload, signature
        Bytes as received.
    """

    kind: int
    sender: str
    payload: bytes
    signature: bytes

    def verify(self, public_key: bytes) -> Message:
        """Check the signature against the key pinned for the sender and decode the message.

        Raises
        ------
        RefusalError
            If the signature does not hold.
        WireError
            If the signed payload is not a message of the claimed kind.
        """
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, self._signed_bytes())
        except InvalidSignature as error:
            raise RefusalError(
                "signature", f"signature of {self.sender!r} does not match its pinned key; check the roster."
            ) from error
        return decode_message(self.kind, self.payload)

    def _signed_bytes(self) -> bytes:
        return signed_bytes(self.kind, self.sender, self.payload)


class SigningKey:
    """An Ed25519 identity key that signs envelopes.

    Parameters
    ----------
    private_key
        The key; it never leaves this object.
    """

    __slots__ = ("_private_key",)

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()[:16]}…)"

    @classmethod
    def generate(cls) -> "SigningKey":
        """Draw a new key from the operating system."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read an unencrypted PKCS#8 PEM file that only its owner can read.

        Raises
        ------
        ConfigError
            If the file is missing, readable by others, or not an Ed25519 key.
        """
        if not path.is_file():
            raise ConfigError(f"identity key {path} does not exist; create it with 'fedcredit custodian keygen'.")
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"identity key {path} is readable by others; run: chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"identity key {path} is not a PEM private key; create a new one.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"identity key {path} is not an Ed25519 key; create a new one.")
        return cls(key)

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS#8 PEM: a secret."""
        return self._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def save(self, path: Path) -> None:
        """Write the key as PEM, readable by its owner only; an existing file is never overwritten."""
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(self.to_pem())

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._private_key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Sign bytes that already carry a domain tag; 64 bytes, deterministic."""
        return self._private_key.sign(data)

    def seal(self, sender: str, message: Message) -> bytes:
        """Encode a message into signed envelope bytes."""
        payload = encode_message(message)
        signature = self.sign(signed_bytes(message.kind, sender, payload))
        envelope = pb.Envelope(
            version=PROTOCOL_VERSION,
            kind=pb.Kind.Name(message.kind),
            sender=sender,
            payload=payload,
            signature=signature,
        )
        return envelope.SerializeToString(deterministic=True)


def verify_signature(public_key: bytes, data: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature over `data` holds."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def signed_bytes(kind: int, sender: str, payload: bytes) -> bytes:
    """What an envelope's signature covers."""
    return length_prefixed("envelope", str(PROTOCOL_VERSION).encode(), str(kind).encode(), sender.encode(), payload)


def open_envelope(data: bytes) -> Envelope:
    """Read envelope bytes; nothing in the result is proved yet.

    Raises
    ------
    WireError
        If the bytes are truncated, foreign, or of another version.
    """
    proto = parse_strictly(pb.Envelope, data)
    if proto.version != PROTOCOL_VERSION:
        raise WireError(f"wire version {proto.version} is not {PROTOCOL_VERSION}; upgrade the older side.")
    if len(proto.sender) > LONGEST_SENDER:
        raise WireError(f"a sender's name has {len(proto.sender)} characters; names have {LONGEST_SENDER} at most.")
    if len(proto.signature) != SIGNATURE_BYTES:
        raise WireError(f"signature has {len(proto.signature)} bytes, not {SIGNATURE_BYTES}; the sender is foreign.")
    return Envelope(proto.kind, proto.sender, proto.payload, proto.signature)


def envelope_hash(data: bytes) -> bytes:
    """Name a request by the hash of its envelope bytes."""
    return digest("request", data)
