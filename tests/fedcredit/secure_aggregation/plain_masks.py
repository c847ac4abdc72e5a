"""The masks again, slowly: HMAC, HKDF and ChaCha20 spelled out, one word at a time, in Python's integers."""

import hashlib
import struct

MODULUS = 2**64


def prefixed(tag, *fields):
    """Fields behind a domain tag, each behind its length."""
    parts = [b"fedcredit.v1." + tag.encode(), *fields]
    return b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def hmac_sha256(key, data):
    """RFC 2104, for keys of at most one block."""
    inner, outer = (bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    return hashlib.sha256(outer + hashlib.sha256(inner + data).digest()).digest()


def hkdf_sha256(secret, salt, info):
    """RFC 5869, one block of output."""
    return hmac_sha256(hmac_sha256(salt, secret), info + b"\x01")


def chacha20_block(key, counter, nonce=bytes(12)):
    """RFC 8439, section 2.3."""
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    state = start.copy()
    for _ in range(10):
        for column in range(4):
            quarter_round(state, column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            quarter_round(state, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<16I", *((a + b) % 2**32 for a, b in zip(start, state, strict=True)))


def quarter_round(state, a, b, c, d):
    for into, added, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[into] = (state[into] + state[added]) % 2**32
        mixed = state[turned] ^ state[into]
        state[turned] = (mixed << bits | mixed >> (32 - bits)) % 2**32


def stream_word(key, index):
    """Word `index` of a key's stream, little-endian."""
    block = chacha20_block(key, index // 8)
    return int.from_bytes(block[8 * (index % 8) :][:8], "little")


def masked_word(word, index, signed_keys):
    """One word plus one stream word per pair, as a signed integer."""
    for sign, key in signed_keys:
        word += sign * stream_word(key, index)
    return (word + MODULUS // 2) % MODULUS - MODULUS // 2
