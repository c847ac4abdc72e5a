"""Which Flower nodes the SuperLink admits: those whose keys the roster pins, and no others.

Flower lists nodes without their keys, so the numbers are kept here. A key is noted before it is registered: if a key
without a number is found, and Flower lists one node that nobody knows, it is this key's. Any other node that was not
registered from here is taken off.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from fedcredit.roster import Roster
from server.state_file import open_state, writing

_SCHEMA = ("CREATE TABLE IF NOT EXISTS node (key TEXT PRIMARY KEY, number TEXT, gone INTEGER NOT NULL) STRICT",)


class NodeRegistry(Protocol):
    """What is needed of Flower; each raises JobError if Flower cannot be asked, or refuses."""

    def nodes(self) -> set[str]:
        """Numbers of all registered nodes."""

    def register(self, key: str) -> str:
        """Admit the node that has a key; the node's number."""

    def unregister(self, node: str) -> None:
        """Admit a node no more."""


class NodeBook:
    """The node keys that were registered.

    Parameters
    ----------
    path
        The SQLite file, made if it does not exist.
    announce
        Receives one line per event, for the operator's log.
    """

    def __init__(self, path: Path, announce: Callable[[str], None] = print) -> None:
        self._connection: sqlite3.Connection = open_state(path, _SCHEMA)
        self._announce = announce

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def reconcile(self, roster: Roster, flower: NodeRegistry) -> None:
        """Register the roster's node keys and take off all others.

        Raises
        ------
        JobError
            If Flower cannot be asked; what was done is noted, ask again later.
        """
        registered = flower.nodes()
        self._forget_lost(registered)
        self._settle_pending(registered)
        wanted = {member.node_key: member.id for member in roster.members if member.node_key is not None}
        numbers = self._keys()
        for number in registered - set(numbers.values()):
            flower.unregister(number)
            self._announce(f"node {number} is admitted no more: nobody knows who registered it")
        for key, number in numbers.items():
            if key not in wanted:
                flower.unregister(number)
                self._write("UPDATE node SET gone = 1 WHERE key = ?", key)
                self._announce(f"node {number} is admitted no more: its key has left the roster")
        retired = self._retired()
        for key, member in wanted.items():
            if key in retired:
                self._announce(
                    f"the node key of {member} had left the roster, and Flower takes no key a second time; "
                    f"{member} makes a new one with: fedcredit institution rotate-key"
                )
            elif key not in numbers:
                self._register(key, member, flower)

    def _register(self, key: str, member: str, flower: NodeRegistry) -> None:
        self._write("INSERT INTO node VALUES (?, NULL, 0)", key)
        number = flower.register(key)
        self._write("UPDATE node SET number = ? WHERE key = ?", number, key)
        self._announce(f"the node of {member} is admitted as node {number}")

    def _settle_pending(self, registered: set[str]) -> None:
        """A key without a number was about to be registered: if one number is nobody's, it is this key's."""
        (pending,) = self._connection.execute("SELECT count(*) FROM node WHERE number IS NULL").fetchone()
        strangers = registered - set(self._keys().values())
        if pending == 1 and len(strangers) == 1:
            self._write("UPDATE node SET number = ? WHERE number IS NULL", *strangers)
        self._write("DELETE FROM node WHERE number IS NULL")

    def _forget_lost(self, registered: set[str]) -> None:
        """A number that Flower does not list belongs to a database that is gone, and so do all that left."""
        lost = [key for key, number in self._keys().items() if number not in registered]
        for key in lost:
            self._write("DELETE FROM node WHERE key = ?", key)
        if lost:
            self._write("DELETE FROM node WHERE gone")

    def _keys(self) -> dict[str, str]:
        rows = self._connection.execute("SELECT key, number FROM node WHERE NOT gone AND number IS NOT NULL")
        return {str(key): str(number) for key, number in rows}

    def _retired(self) -> set[str]:
        return {key for (key,) in self._connection.execute("SELECT key FROM node WHERE gone")}

    def _write(self, statement: str, *values: object) -> None:
        with writing(self._connection):
            self._connection.execute(statement, values)
