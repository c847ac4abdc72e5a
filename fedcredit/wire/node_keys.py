"""Which keys can stand for a Flower node: elliptic-curve keys on a NIST curve, in OpenSSH's one-line form.

Flower 1.41 knows a node by such a key. The text is canonical, so that equal keys are equal texts: the curve's name, one
blank, the key in base64, and no comment.
"""

from typing import Annotated

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from pydantic import AfterValidator

from fedcredit.errors import ConfigError

# A P-521 key takes 253 letters.
_LONGEST = 400
_FOREIGN = "a key of another kind"
_REMEDY = "give the first two words of the node's .pub file (an OpenSSH key on P-256, P-384 or P-521), no comment"


def node_key_text(key: EllipticCurvePublicKey) -> str:
    """Write a key on P-256, P-384 or P-521 as OpenSSH does, without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")


def node_key_of_pem(pem: bytes) -> str | None:
    """The same text for a key in PEM, which is how Flower holds it; None if the bytes are no key.

    A key of another kind gives a text that no roster pins.
    """
    try:
        key = load_pem_public_key(pem)
        return node_key_text(key) if isinstance(key, EllipticCurvePublicKey) else _FOREIGN
    except UnsupportedAlgorithm:
        return _FOREIGN
    except ValueError:
        # OpenSSH knows three curves; Flower takes two more.
        return _FOREIGN if pem.startswith(b"-----BEGIN PUBLIC KEY-----") else None


def sign_with_node_key(private: bytes, data: bytes) -> bytes:
    """Prove that one has a node key: its ECDSA signature with SHA-512, in DER.

    Raises
    ------
    ConfigError
        If `private` is no elliptic-curve key in OpenSSH's format without a password.
    """
    try:
        key = load_ssh_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ConfigError("the node key is no elliptic-curve key in OpenSSH's format without a password; make it anew.")
    return key.sign(data, ECDSA(SHA512()))


def is_signed_with_node_key(text: str, data: bytes, signature: bytes) -> bool:
    """Whether the node key of a canonical text made a signature of `sign_with_node_key`."""
    key = load_ssh_public_key(text.encode())
    try:
        if not isinstance(key, EllipticCurvePublicKey):
            return False
        key.verify(signature, data, ECDSA(SHA512()))
    except InvalidSignature:
        return False
    return True


def _canonical(text: str) -> str:
    try:
        key = load_ssh_public_key(text.encode()) if len(text) <= _LONGEST else None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or node_key_text(key) != text:
        raise ValueError(f"{text!r:.60} is not a node key; {_REMEDY}")
    return text


NodeKey = Annotated[str, AfterValidator(_canonical)]
