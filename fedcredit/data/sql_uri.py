"""URIs of databases: which kinds are read, and where a SQLite file lies. Nothing is opened."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

# Module of each kind's driver.
DRIVERS = {
    "sqlite": "adbc_driver_sqlite.dbapi",
    "postgresql": "adbc_driver_postgresql.dbapi",
    "postgres": "adbc_driver_postgresql.dbapi",
}


def uri_problem(uri: str) -> str | None:
    """Say what is wrong with a database URI; None if nothing is. The text never repeats the URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "the uri cannot be read; write for example sqlite:///data/loans.db"
    if parts.scheme not in DRIVERS:
        return f"databases of kind {parts.scheme!r} are not supported; use one of: {', '.join(DRIVERS)}"
    if parts.password is not None or "password=" in parts.query:
        return "the uri holds a password; remove it and use PostgreSQL's password file (PGPASSFILE)"
    return None


def uri_relative_to(uri: str, folder: Path) -> str:
    """Return the URI with a SQLite file's path taken from `folder`; other URIs as they are."""
    if urlsplit(uri).scheme != "sqlite":
        return uri
    return f"sqlite:///{quote(str(folder / sqlite_path(uri)))}"


def sqlite_path(uri: str) -> Path:
    """Path of a SQLite URI: three slashes are a relative path and four an absolute one, as elsewhere."""
    return Path(unquote(urlsplit(uri).path.removeprefix("/")))
