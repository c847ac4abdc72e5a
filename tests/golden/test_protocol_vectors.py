"""What `docs/protocol.md` prints: the test vectors of `secure_aggregation.json`, and every refusal of the code.

A reader writes another implementation against that page, and an operator looks a code up in it.
"""

import ast
import hashlib
import re
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcredit.wire.canonical import parse_json

ROOT = Path(__file__).resolve().parents[2]
VECTORS = parse_json(Path(__file__).with_name("secure_aggregation.json").read_bytes())
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
INFO_FIELDS = (
    "tag",
    "lower id",
    "higher id",
    "lower agreement key",
    "higher agreement key",
    "lower key epoch",
    "higher key epoch",
    "job name",
    "role",
    "round",
    "attempt",
    "attempt-roster hash",
    "plan hash",
    "model hash",
)
# Codes of the console that delivers a stop, which no custodian sends.
CONSOLE = {"answer", "custodian-unreachable"}
# The coordinator's own reasons, which it tells its operator.
COORDINATORS = {"sender", "identity"}
# What one institution says to another that asks for a score; no part of a job.
PEERS = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8"), re.MULTILINE))


def section(page, heading):
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    return found


def blocks(page):
    """Each code block of the vectors, as lines of columns."""
    found = re.findall(r"```\n(.*?)```", section(page, "Test vectors"), flags=re.DOTALL)
    return [[re.split(r" {2,}", line.strip()) for line in block.splitlines()] for block in found]


def words_of(data):
    """Eight bytes at a time, in hex."""
    return " ".join(data[start : start + 8].hex() for start in range(0, len(data), 8))


# What the page must print, from the file's inputs on.


def expected_hashes():
    place = VECTORS["place"]
    yield ["roster hash", VECTORS["roster_hash"]]
    yield ["attempt-roster hash", place["roster_hash"]]
    yield ["plan hash", place["plan_hash"]]
    yield ["model hash", place["model_hash"]]
    for member in VECTORS["members"]:
        yield [f"{member['id']} identity key", member["identity_key"]]
        yield [f"{member['id']} agreement key", member["agreement_key"]]
    yield ["transcript hash", hashlib.sha256(bytes.fromhex(VECTORS["transcript_input"])).hexdigest()]


def expected_info():
    data, fields = bytes.fromhex(VECTORS["pairs"][0]["info"]), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        fields.append([str(length), data[8 : 8 + length].hex()])
        data = data[8 + length :]
    return [[name, *field] for name, field in zip(INFO_FIELDS, fields, strict=True)]


def expected_pairs():
    for pair in VECTORS["pairs"]:
        names = f"{pair['lower']}, {pair['higher']}"
        secret, info = bytes.fromhex(pair["secret"]), bytes.fromhex(pair["info"])
        key = HKDF(SHA256(), 32, salt=bytes.fromhex(VECTORS["transcript_hash"]), info=info).derive(secret)
        stream = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(32))
        yield [f"{names} secret", secret.hex()]
        yield [f"{names} key", key.hex()]
        yield [f"{names} words", words_of(stream)]


def expected_vectors():
    def row(name, vector, data):
        return [name, f"({', '.join(map(str, vector))})", words_of(data)]

    masked = [bytes.fromhex(member["masked"]) for member in VECTORS["members"]]
    sums = [sum(words) % 2**64 for words in zip(*(struct.unpack("<4Q", data) for data in masked), strict=True)]
    members = zip(VECTORS["members"], masked, strict=True)
    rows = [row(member["id"], member["vector"], data) for member, data in members]
    return [*rows, row("sum", VECTORS["sum"], struct.pack("<4Q", *sums))]


def expected():
    return [list(part()) for part in (expected_hashes, expected_info, expected_pairs, expected_vectors)]


def test_the_printed_vectors_are_those_of_the_file():
    assert blocks(PAGE) == expected()


def test_no_other_vector_is_printed():
    printed = re.findall(r"\b[0-9a-f]{16,}\b", PAGE)
    known = [value for block in expected() for row in block for column in row for value in column.split()]
    assert len(printed) > 40
    assert set(printed) <= set(known)


@pytest.mark.parametrize("block", range(4))
def test_a_changed_digit_is_noticed(block):
    last = blocks(PAGE)[block][-1][-1].split()[-1]
    assert PAGE.count(last) >= 1
    changed = PAGE.replace(last, last[:-1] + ("0" if last[-1] != "0" else "1"))
    assert blocks(changed)[block] != expected()[block]


# The table of refusals.


def codes_of(source):
    """First arguments of `RefusalError`, and the codes under which a custodian reports other errors."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            place = {"RefusalError": 0, "_refuse": 1}.get(name)
            if place is not None and isinstance(call.args[place], ast.Constant):
                yield call.args[place].value


def test_the_table_of_refusals_is_complete():
    sources = [path for path in (ROOT / "fedcredit").rglob("*.py") if not path.stem.endswith("_pb2")]
    raised = {code for path in sources for code in codes_of(path.read_text(encoding="utf-8"))}
    listed = re.findall(r"^\| `([a-z-]+)` \|", section(PAGE, "Refusals"), flags=re.MULTILINE)
    assert {"internal", "keys-stale", "roster"} <= raised
    assert sorted(listed) == sorted(raised - CONSOLE - COORDINATORS - (PEERS - set(listed)))
    assert {"peer", "package", "purpose"} <= PEERS & raised
