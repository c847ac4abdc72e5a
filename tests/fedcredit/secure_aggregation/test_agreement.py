"""The agreement key: the same secret on both sides, never a public one, and the key stays where it is."""

import copy
import pickle

import pytest

from fedcredit.errors import PrivacyError, RefusalError
from fedcredit.secure_aggregation.agreement import AgreementKey, secret_class
from tests.fedcredit.secure_aggregation.joined import aliases

PRIME = 2**255 - 19
ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
SMALL_ORDER = [
    *(value.to_bytes(32, "little") for value in (0, 1, PRIME - 1, PRIME, PRIME + 1)),
    *(bytes.fromhex(point) for point in ORDER_8),
]
# X25519 ignores the top bit.
ENCODINGS = SMALL_ORDER + [point[:31] + bytes([point[31] | 0x80]) for point in SMALL_ORDER]


def ladder(scalar: bytes, public: bytes) -> bytes:
    """X25519 in plain integers (RFC 7748 §5): the slow twin."""
    number = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    x1 = int.from_bytes(public, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for place in reversed(range(255)):
        swap = number >> place & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        x3, z3 = (d * a + c * b) ** 2 % PRIME, x1 * (d * a - c * b) ** 2 % PRIME
        e = a * a - b * b
        x2, z2 = a * a * b * b % PRIME, e * (a * a + 121665 * e) % PRIME
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def test_both_sides_get_the_secret_of_the_slow_twin():
    a, b = AgreementKey(), AgreementKey()
    assert a.public == ladder(a._key, (9).to_bytes(32, "little"))
    assert a.secret_with(b.public) == b.secret_with(a.public) == ladder(a._key, b.public)
    assert a.secret_with(b.public) != a.secret_with(AgreementKey().public)


@pytest.mark.parametrize("point", ENCODINGS, ids=bytes.hex)
def test_points_of_small_order_are_refused(point):
    assert ladder(AgreementKey()._key, point) == bytes(32)
    for used in (AgreementKey().secret_with, secret_class):
        with pytest.raises(RefusalError, match="secret public") as caught:
            used(point)
        assert caught.value.code == "keys-zero"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(RefusalError) as caught:
        AgreementKey().secret_with(bytes([9]) * length)
    assert caught.value.code == "keys-zero"


def test_keys_of_one_class_give_the_same_secrets():
    reader, public = AgreementKey(), AgreementKey().public
    for alias in aliases(public):
        assert alias != public
        assert reader.secret_with(alias) == reader.secret_with(public)
        assert secret_class(alias) == secret_class(public)
    assert len({secret_class(AgreementKey().public) for _ in range(20)}) == 20


def test_keys_are_drawn_by_the_system_and_cannot_be_given():
    assert len({AgreementKey().public for _ in range(20)}) == 20
    with pytest.raises(TypeError):
        AgreementKey(bytes(32))


def test_a_wiped_key_is_gone():
    key, peer = AgreementKey(), AgreementKey().public
    memory = key._key
    key.wipe()
    key.wipe()
    assert memory == bytes(32)
    for used in (lambda: key.public, lambda: key.secret_with(peer)):
        with pytest.raises(PrivacyError, match="wiped"):
            used()


def test_it_is_never_printed_copied_or_pickled():
    key = AgreementKey()
    assert repr(key) == str(key) == f"{key}" == "AgreementKey(hidden)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(PrivacyError, match="never leaves its process"):
            leak(key)
