"""The audit trail goes on under another identity key."""

import json
from datetime import UTC, datetime

import pytest
import yaml

from fedcredit.audit.lines import BEFORE_FIRST, KEY_CHANGED, key_change, write_line
from fedcredit.audit.reading import check, named_key
from fedcredit.audit.trail import Trail
from fedcredit.custodian.site_file import load_site_file
from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger import Ledger
from fedcredit.wire.canonical import canonical_json
from fedcredit.wire.envelope import SigningKey


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def changed(bank):
    """A bank whose custodian served, and whose ledger and trail then went on under another key."""
    custodian = bank.start()
    bank.ask(custodian, bank.join)
    custodian.stopped()
    bank.end()
    old, new = bank.site.key(), SigningKey.generate()
    path = load_site_file(bank.site.file).ledger
    Ledger.change_key(path, old, new)
    with Ledger.read(path, new.public) as ledger:
        Trail.change_key(bank.trail, old, new, ledger, now)
    bank.site.key_path.unlink()
    new.save(bank.site.key_path)
    bank.site.change_roster(members=_with_key(bank, new))
    return old, new, path


def _with_key(bank, key):
    members = yaml.safe_load(bank.site.roster.read_text())["members"]
    return [{**one, **({"public_key": key.public.hex()} if one["id"] == "bank-1" else {})} for one in members]


def test_the_custodian_starts_on_it_and_every_line_holds(bank, changed):
    old, new, _ = changed
    bank.start().stopped()
    assert bank.said("event", "kind")[-4:] == [
        ("recovered", None),
        ("key_changed", None),
        ("start", None),
        ("stop", None),
    ]
    found = [check(bank.trail, key.public) for key in (old, new)]
    assert found[0] == found[1]
    assert found[0].lines == len(bank.lines())
    assert named_key(bank.trail) == old.public


def test_a_stranger_s_key_checks_nothing(bank, changed):
    with pytest.raises(LedgerError, match="was never written under key"):
        check(bank.trail, SigningKey.generate().public)


def test_a_change_that_is_done_changes_nothing(bank, changed):
    old, new, path = changed
    before = bank.trail.read_bytes()
    with Ledger.read(path, new.public) as ledger:
        Trail.change_key(bank.trail, old, new, ledger, now)
    assert bank.trail.read_bytes() == before


def test_lines_of_the_old_key_after_the_change_are_refused(bank, changed):
    old, _, _ = changed
    bank.start().stopped()
    lines = bank.trail.read_bytes().splitlines(keepends=True)
    forged = json.loads(lines[-1])
    forged["signature"] = old.sign(b"anything").hex()
    bank.trail.write_bytes(b"".join(lines[:-1]) + canonical_json(forged) + b"\n")
    with pytest.raises(LedgerError, match="is not signed by"):
        check(bank.trail, old.public)


def test_a_stranger_cannot_name_our_key_in_our_trail(bank, changed):
    """The custodian starts on a change of key only if a key of the ledger's own signed it."""
    lines = bank.trail.read_bytes().splitlines(keepends=True)
    forged = json.loads(lines[-1])
    forged["signature"] = SigningKey.generate().sign(b"anything").hex()
    bank.trail.write_bytes(b"".join(lines[:-1]) + canonical_json(forged) + b"\n")
    with pytest.raises(LedgerError, match="is not signed by"):
        bank.start()


@pytest.mark.parametrize("proof", ["", "zz", "ab" * 64])
def test_a_stranger_cannot_write_a_trail_and_name_our_key_at_its_end(tmp_path, proof):
    """Our key has signed no line of it."""
    ours, stranger, path = SigningKey.generate(), SigningKey.generate(), tmp_path / "ledger.audit.jsonl"
    ledger = {"events": 1, "head": "00" * 32, "new": []}
    first, link = write_line(stranger, {"event": "start", "ledger": ledger}, BEFORE_FIRST)
    keys = {"old_public_key": stranger.public.hex(), "new_public_key": ours.public.hex(), "proof": proof}
    last, _ = write_line(stranger, {"event": KEY_CHANGED, **keys, "ledger": ledger}, link)
    path.write_bytes(first + last)
    with pytest.raises(LedgerError, match="line 2 names a key that did not sign it"):
        check(path, ours.public)
    last, _ = write_line(stranger, {**key_change(stranger.public, ours, link), "ledger": ledger}, link)
    path.write_bytes(first + last)
    assert check(path, ours.public).lines == 2
