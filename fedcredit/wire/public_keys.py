"""Which Ed25519 public keys can stand for somebody.

RFC 8032 verification accepts a key of small order, under which anybody can make signatures that hold for a part of
all messages, or for all of them. A roster or a site that lists such a key, by mistake or by malice, has given that
identity away. So only canonical encodings of points whose order is not 1, 2, 4 or 8 are accepted (Chalkias,
Garillot & Nikolaenko 2020, "Taming the many EdDSAs").
"""

from typing import Annotated

from pydantic import AfterValidator, Field

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int]


def is_strict_public_key(key: bytes) -> bool:
    """Tell whether 32 bytes are the canonical encoding of a curve point of large order."""
    point = _decode(key)
    if point is None:
        return False
    x, y, z = (*point, 1)
    for _ in range(3):
        x, y, z = _doubled(x, y, z)
    return not (x == 0 and y == z)


def _decode(key: bytes) -> Point | None:
    """The affine point, or None where the bytes are no canonical encoding of one."""
    if len(key) != 32:
        return None
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    x = _square_root((y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P)
    if x is None or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else _P - x, y)


def _square_root(square: int) -> int | None:
    root = pow(square, (_P + 3) // 8, _P)
    if root * root % _P != square:
        root = root * _SQRT_MINUS_ONE % _P
    return root if root * root % _P == square else None


def _doubled(x: int, y: int, z: int) -> tuple[int, int, int]:
    """Twice a point in projective coordinates, without a division.

    References
    ----------
    Bernstein et al. 2008, "Twisted Edwards curves", section 6.
    """
    xx, yy = x * x % _P, y * y % _P
    cross = ((x + y) ** 2 - xx - yy) % _P
    difference = (yy - xx) % _P
    rest = (difference - 2 * z * z) % _P
    return cross * rest % _P, difference * (-xx - yy) % _P, difference * rest % _P


def _strict(key: str) -> str:
    if not is_strict_public_key(bytes.fromhex(key)):
        raise ValueError("is not a usable Ed25519 public key; ask its owner for it again")
    return key


PublicKeyHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), AfterValidator(_strict)]
