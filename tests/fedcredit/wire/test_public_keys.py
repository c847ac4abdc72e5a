import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.roster import Member
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.public_keys import is_strict_public_key

P = 2**255 - 19
ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
SMALL_OR_FOREIGN = [
    "00" * 32,  # order 4
    "01" + "00" * 31,  # the identity
    (P - 1).to_bytes(32, "little").hex(),  # order 2
    ORDER_8,
    ORDER_8[:-2] + "85",  # its negative
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
    P.to_bytes(32, "little").hex(),  # 0, not canonical
    (P + 1).to_bytes(32, "little").hex(),  # 1, not canonical
    "01" + "00" * 30 + "80",  # the identity with a sign
    "02" + "00" * 31,  # no point
    "ff" * 32,
]


@pytest.mark.parametrize("key", SMALL_OR_FOREIGN)
def test_a_key_under_which_anybody_can_sign_is_refused(key):
    assert not is_strict_public_key(bytes.fromhex(key))
    with pytest.raises(ValueError, match="not a usable"):
        Member(id="bank-1", kind="bank", public_size=1, public_key=key)


def test_every_generated_key_is_accepted():
    assert all(is_strict_public_key(SigningKey.generate().public) for _ in range(50))


@given(st.binary(max_size=40))
def test_any_bytes_have_an_answer(data):
    assert is_strict_public_key(data) in (True, False)
