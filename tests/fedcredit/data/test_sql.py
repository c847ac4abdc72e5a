import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.data.columns import numbers
from fedcredit.data.sql import SqlSource, select_statement
from fedcredit.errors import ConfigError, DataError

dbapi = pytest.importorskip("adbc_driver_sqlite.dbapi")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a b.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "my ""loans" (id INTEGER, "in;come" REAL, note TEXT, secret TEXT)')
        # The second value of a REAL column is a text: SQLite allows it, and no type may be guessed from the first.
        rows = [(1, 0.5, "x", "s"), (2, "unknown", None, "s")]
        connection.executemany('INSERT INTO "my ""loans" VALUES (?, ?, ?, ?)', rows)
        connection.execute("CREATE TABLE empty (id INTEGER)")
    connection.close()
    return path


def source(database: Path, table: str = 'my "loans') -> SqlSource:
    return SqlSource(f"sqlite:///{database}", table)


def test_sqlite_reads_declared_columns_as_text(database):
    table = source(database).read(["in;come", "id"])
    assert table.to_pydict() == {"in;come": ["0.5", "unknown"], "id": ["1", "2"]}
    assert source(database).column_types() == dict.fromkeys(["id", "in;come", "note", "secret"], "text")


def test_the_statement_names_only_the_declared_columns():
    assert select_statement('"t"', ["a", 'b"; DROP TABLE t; --'], as_text=False) == (
        'SELECT "a", "b""; DROP TABLE t; --" FROM "t"'
    )
    assert select_statement('"t"', ["a"], as_text=True) == 'SELECT CAST("a" AS TEXT) AS "a" FROM "t"'


def test_sqlite_faults(database, tmp_path):
    with pytest.raises(DataError, match="lacks 2 columns: x, y"):
        source(database).read(["id", "x", "y"])
    with pytest.raises(DataError, match="table 'empty' has no rows"):
        source(database, "empty").read(["id"])
    with pytest.raises(DataError, match=r"not give table 'none': .*; check uri and table"):
        source(database, "none").read(["id"])
    with pytest.raises(DataError, match=r"there is no file .*none\.db; check the uri"):
        source(tmp_path / "none.db").read(["id"])
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(ConfigError, match="databases of kind 'oracle' are not supported"):
        SqlSource("oracle://h/d", "t")


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"not a database " * 100)
    with pytest.raises(DataError, match="the database does not give table 't'"):
        source(tmp_path / "x.db", "t").read(["id"])


def test_a_missing_driver_names_the_extra(database, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "adbc_driver_sqlite.dbapi", None)
    with pytest.raises(ConfigError, match=r"needs the extra `sql`; install fedcredit\[sql\]"):
        source(database).read(["id"])


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throw-away server on a Unix socket; its URI."""
    folder = tmp_path_factory.mktemp("pg", numbered=True)
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user:
        for place in (folder, *folder.parents):
            if place.is_relative_to(tmp_path_factory.getbasetemp().parents[1]):
                place.chmod(0o755)
        shutil.chown(folder, user)
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), Path(shutil.which("initdb") or "initdb")]
    bin_folder = found[0].resolve().parent
    run = lambda *command: subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)  # noqa: E731
    run(bin_folder / "initdb", "-D", folder / "d", "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run(bin_folder / "pg_ctl", "-D", folder / "d", "-o", options, "-l", folder / "log", "-w", "start")
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        run(bin_folder / "pg_ctl", "-D", folder / "d", "-m", "immediate", "stop")


@pytest.mark.system("postgresql")
def test_postgresql_keeps_its_types(postgres):
    driver = pytest.importorskip("adbc_driver_postgresql.dbapi")
    with driver.connect(postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA s")
        cursor.execute('CREATE TABLE s."Loans" (id bigint, amount numeric(12,2), rate real, day date, "No""te" text)')
        cursor.execute("INSERT INTO s.\"Loans\" VALUES (1, 10.25, 0.5, '2020-01-01', 'x'), (2, NULL, NULL, NULL, NULL)")
    loans = SqlSource(postgres, "Loans", "s")
    assert list(loans.column_types()) == ["id", "amount", "rate", "day", 'No"te']
    assert loans.column_types()["day"] == "date32[day]"
    table = loans.read(['No"te', "id", "amount", "rate", "day"])
    assert table.column('No"te').to_pylist() == ["x", None]
    assert numbers(table, "id").tolist() == [1, 2]
    assert numbers(table, "amount")[0] == 10.25
    assert numbers(table, "rate")[0] == 0.5
    with pytest.raises(DataError, match="which holds no numbers"):
        numbers(table, "day")
    with pytest.raises(DataError, match="the database does not give table 'Loans'"):
        SqlSource(postgres, "Loans").read(["id"])
