"""What disks, clocks, copies and crashes do to a ledger: each has one outcome, and none gives budget back."""

import ast
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import LedgerError
from fedcredit.privacy.ledger import Ledger
from tests.fedcredit.privacy.test_ledger import BUDGET, KEY, PLAN, charge, seal

ROOT = Path(__file__).resolve().parents[3]


def ledger_with_a_job(path: Path, rounds: int = 0) -> Ledger:
    ledger = Ledger.create(path, KEY, BUDGET)
    ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
    for number in range(1, rounds + 1):
        ledger.commit(charge(number), seal)
    return ledger


def run(code: str, *arguments: object) -> str:
    """What a process of its own says; its ledger's key is written for it."""
    KEY.save(Path(arguments[0]).parent / "identity.pem")
    head = (
        "import os, resource, sys\nfrom fractions import Fraction\nfrom pathlib import Path\n"
        "from fedcredit.errors import LedgerError\nfrom fedcredit.privacy.ledger import Ledger\n"
        "from fedcredit.wire.envelope import SigningKey\n"
        "path = Path(sys.argv[1])\nkey = SigningKey.load(path.parent / 'identity.pem')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- disk full


def test_a_full_database_charges_nothing_and_answers_once_there_is_space(tmp_path):
    """SQLite's own full disk, at every size at which a request can meet it."""
    with ledger_with_a_job(tmp_path / "ledger.sqlite") as ledger:
        (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        for more in range(4):
            ledger._connection.execute(f"PRAGMA max_page_count={pages + more}")
            with pytest.raises(LedgerError, match=r"full.*check the disk's space"):
                ledger.commit(charge(1), lambda *_: bytes(100_000))
            assert ledger.stored(charge(1).slot) is None
            assert ledger.event_count == 2
            assert not ledger._connection.in_transaction
        ledger._connection.execute(f"PRAGMA max_page_count={2**30}")
        sent = ledger.commit(charge(1), lambda *_: bytes(100_000))
        assert len(sent) == 100_000
    with Ledger.open(tmp_path / "ledger.sqlite", KEY) as again:
        assert again.stored(charge(1).slot).message == sent
        assert len(again.charges(PLAN)) == 1


def test_a_file_that_may_not_grow_refuses_and_keeps_what_it_has(tmp_path):
    """The operating system's limit, in a process of its own, met at commit."""
    ledger_with_a_job(tmp_path / "ledger.sqlite").close()
    code = """
ledger = Ledger.open(path, key)
largest = max(one.stat().st_size for one in path.parent.iterdir())
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
refused = 0
for number in range(200):
    try:
        ledger.note("stop", {"filler": "x" * 1000})
    except LedgerError as error:
        assert "check the disk" in str(error), error
        refused += 1
before = ledger.event_count
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.note("stop", {})
print(refused > 0, ledger.event_count - before)
"""
    assert run(code, tmp_path / "ledger.sqlite") == "True 1\n"
    with Ledger.open(tmp_path / "ledger.sqlite", KEY) as again:
        assert again.event_count > 2


def test_a_counter_that_cannot_be_written_holds_the_message_back(tmp_path):
    """The event is durable then; the bytes leave when the counter has followed."""
    elsewhere = tmp_path / "other disk"
    elsewhere.mkdir()
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, KEY, BUDGET, elsewhere / "count") as ledger:
        ledger.reserve(PLAN, b"plan", Fraction(1), Fraction(1), {})
        gone = elsewhere.rename(tmp_path / "unplugged")
        for _ in range(2):
            with pytest.raises(LedgerError, match=r"counter .* cannot be written"):
                ledger.commit(charge(1), seal) if ledger.event_count == 2 else ledger.stored(charge(1).slot)
        gone.rename(elsewhere)
        assert ledger.stored(charge(1).slot) is not None
        assert (elsewhere / "count").read_text() == "3\n"
        assert len(ledger.charges(PLAN)) == 1


# --- read-only


def test_a_ledger_that_cannot_be_written_is_refused_at_start(tmp_path):
    """As another account, since root may write anywhere; the sentence names the remedy and not a backup."""
    with tempfile.TemporaryDirectory(prefix="fc-") as name:
        folder = Path(name)
        ledger_with_a_job(folder / "ledger.sqlite").close()
        code = """
ours = os.getuid() == 0
for one in path.parent.iterdir():
    one.chmod(0o400)
    ours and os.chown(one, 65534, 65534)
path.parent.chmod(0o700 if sys.argv[2] == "file" else 0o500)
ours and os.chown(path.parent, 65534, 65534)
if ours:
    os.setuid(65534)
try:
    Ledger.open(path, key)
except LedgerError as error:
    print(error)
with Ledger.read(path, key.public) as reader:
    print(reader.event_count)
"""
        shutil.copytree(folder, folder / "a")
        shutil.copytree(folder / "a", folder / "b")
        folder.chmod(0o755)
        for part, mode, words in (("a", "folder", "nothing can be written"), ("b", "file", "check")):
            said = run(code, folder / part / "ledger.sqlite", mode).splitlines()
            assert words in said[0]
            assert "backup" not in said[0]
            assert said[1] == "2"


# --- torn files


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, list[int]]:
    """A ledger as a killed process leaves it, the log not merged, and the log's size after each event."""
    folder = tmp_path_factory.mktemp("killed")
    path, log = folder / "ledger.sqlite", folder / "ledger.sqlite-wal"
    ledger = Ledger.create(path, KEY, BUDGET)
    ledger._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sizes = []
    for _ in range(12):
        ledger.note("stop", {"filler": "x" * 500})
        sizes.append(log.stat().st_size)
    kept = tmp_path_factory.mktemp("kept")
    for one in (path, log, folder / "ledger.sqlite.count"):
        shutil.copy(one, kept)
    ledger.close()
    return kept / "ledger.sqlite", sizes


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_torn_log_keeps_the_events_before_the_tear(killed, data):
    source, sizes = killed
    tear = data.draw(st.integers(0, sizes[-1]), label="bytes left")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.sqlite"
        shutil.copytree(source.parent, name, dirs_exist_ok=True)
        os.truncate(path.with_name(path.name + "-wal"), tear)
        with Ledger.read(path, KEY.public) as reader:
            kept = reader.event_count
        assert kept == 1 + sum(size <= tear for size in sizes)
        if kept < 1 + len(sizes):  # what was acknowledged is gone: the disk lied, and the counter says so
            with pytest.raises(LedgerError, match="rolled back"):
                Ledger.open(path, KEY)
            path.with_name(path.name + ".count").write_text(f"{kept}\n")
        with Ledger.open(path, KEY) as ledger:
            ledger.note("stop", {})
            assert ledger.event_count == kept + 1
            ledger.verify()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_torn_or_scribbled_ledger_is_refused(killed, data):
    source, _ = killed
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.sqlite"
        shutil.copytree(source.parent, name, dirs_exist_ok=True)
        Ledger.open(path, KEY).close()  # merges the log
        size = path.stat().st_size
        if data.draw(st.booleans(), label="torn"):
            os.truncate(path, data.draw(st.integers(0, size - 1), label="bytes left"))
        else:
            at = data.draw(st.integers(0, size // 4096 - 1), label="page") * 4096
            with path.open("r+b") as file:
                file.seek(at)
                file.write(b"\xa5" * 4096)
        with pytest.raises(LedgerError, match="restore"):
            Ledger.open(path, KEY)


def test_an_index_that_forgot_a_charge_is_noticed(tmp_path):
    """Stored messages are found by the index; one that it lost would be charged and sent a second time."""
    path = tmp_path / "ledger.sqlite"
    ledger_with_a_job(path, rounds=2).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema=ON")
    unique = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name LIKE 'sqlite_autoindex_event%'"
    ).fetchone()[0]
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((unique - 1) * size + 3)
        cells = int.from_bytes(file.read(2), "big")
        file.seek((unique - 1) * size + 3)
        file.write((cells - 1).to_bytes(2, "big"))
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(path, KEY)


# --- clocks


def test_a_ledger_knows_no_time():
    """A clock that is set back changes no budget: nothing here can ask for the time."""
    folder = ROOT / "fedcredit" / "privacy"
    modules = [*folder.glob("ledger*.py"), folder / "events.py", folder / "rollback.py", folder / "accounting.py"]
    assert len(modules) > 8
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"time", "datetime"} & {name.split(".")[0] for name in names}, module.name


# --- two custodians


def test_another_process_finds_the_ledger_in_use_until_it_dies(tmp_path):
    path = tmp_path / "ledger.sqlite"
    code = """
try:
    Ledger.open(path, key)
    print("opened")
except LedgerError as error:
    print(error)
os._exit(0)  # as a kill would: nothing is closed
"""
    with ledger_with_a_job(path):
        assert "in use by another custodian" in run(code, path)
    (tmp_path / "identity.pem").unlink()
    assert run(code, path) == "opened\n"
    with Ledger.open(path, KEY) as ledger:
        assert ledger.event_count == 2


def test_a_second_name_of_a_ledger_is_refused_or_is_the_same_one(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger_with_a_job(path).close()
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link.sqlite"
    link.symlink_to(path)
    with Ledger.open(link, KEY) as ledger:
        ledger.note("stop", {})
        with pytest.raises(LedgerError, match="in use"):
            Ledger.open(path, KEY)
    assert sorted(one.name for one in (tmp_path / "folder").iterdir()) == ["link.sqlite"]
    hard = tmp_path / "folder" / "hard.sqlite"
    os.link(path, hard)
    for name in (path, hard):
        with pytest.raises(LedgerError, match="hard link"):
            Ledger.open(name, KEY)
    hard.unlink()
    Ledger.open(path, KEY).close()


def test_a_copied_ledger_has_no_counter_and_two_with_one_counter_stop(tmp_path):
    path, copy = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite"
    counter = tmp_path / "count"
    with Ledger.create(path, KEY, BUDGET, counter):
        pass
    shutil.copy(path, copy)
    with pytest.raises(LedgerError, match=r"counter .* is missing"):
        Ledger.open(copy, KEY)
    with Ledger.open(path, KEY, counter) as first, Ledger.open(copy, KEY, counter) as second:
        first.note("stop", {})
        first.note("stop", {})
        with pytest.raises(LedgerError, match="a copy of this ledger"):
            second.note("stop", {})
