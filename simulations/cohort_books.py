"""The ledgers of a cohort, in memory: one book for all institutions with the same past.

Institutions of one type that have answered the same messages have spent the same, to the last digit. So what a real
ledger works out from its events is worked out here once for each past, and an institution is charged by being moved to
the book of its longer past. Tests compare every balance and every refusal with real ledgers, one for each institution.

Nothing here is signed or kept: it gates and accounts, and it could not convince anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import BudgetError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Book:
    """What the ledgers of institutions with one past hold of a job.

    Attributes
    ----------
    kind
        Institution type.
    reserved, retry_reserve
        Set aside at join, in the ledger's unit; the part of it that second and later messages of a round may use.
    spent, spent_on_retries
        Charged so far.
    charges
        The messages, oldest first, as `fedcredit.custodian.history.guard_history` reads them.
    refused_a_retry
        Whether a retry was asked for that the reserve could not pay.
    """

    kind: str
    reserved: Fraction
    retry_reserve: Fraction
    spent: Fraction = Fraction(0)
    spent_on_retries: Fraction = Fraction(0)
    charges: tuple[dict[str, Any], ...] = ()
    refused_a_retry: bool = False

    def charged(self, event: dict[str, Any], cost: Fraction) -> "Book":
        """The book after one more message.

        Parameters
        ----------
        event
            Role, round, attempt, model hash and members of the message.

        Raises
        ------
        BudgetError
            If the reservation does not cover it.
        """
        place = (event["role"], event["round"])
        retried = any((one["role"], one["round"]) == place for one in self.charges)
        on_retries = self.spent_on_retries + (cost if retried else 0)
        if self.spent + cost > self.reserved or on_retries > self.retry_reserve:
            raise BudgetError("the job's reservation is used up; end the job with the model so far.")
        return replace(self, spent=self.spent + cost, spent_on_retries=on_retries, charges=(*self.charges, event))


class Books:
    """The books of a cohort, and which of them each institution has.

    Parameters
    ----------
    n_institutions
        Nobody has a book before it joins.
    """

    def __init__(self, n_institutions: int) -> None:
        self._books: list[Book] = []
        self._of = np.full(n_institutions, -1, dtype=np.int64)

    def of(self, institution: int) -> Book | None:
        """One institution's book; None before it has joined."""
        number = int(self._of[institution])
        return None if number < 0 else self._books[number]

    def by_book(self, institutions: Indices) -> list[tuple[Book, Indices]]:
        """The institutions that have joined, together where their past is one."""
        numbers = self._of[institutions]
        present = np.unique(numbers[numbers >= 0]).tolist()
        return [(self._books[number], institutions[numbers == number]) for number in present]

    def give(self, institutions: Indices, book: Book) -> None:
        """Move institutions to a book."""
        self._of[institutions] = len(self._books)
        self._books.append(book)

    def charge(self, institutions: Indices, event: dict[str, Any], costs: Mapping[str, Fraction]) -> Indices:
        """Charge one message to each, by its type's cost.

        Returns
        -------
        ndarray of int64
            Those that cannot pay for it, and did not.
        """
        unable = [np.zeros(0, dtype=np.int64)]
        for book, members in self.by_book(institutions):
            try:
                self.give(members, book.charged(event, costs[book.kind]))
            except BudgetError:
                self.give(members, replace(book, refused_a_retry=True))
                unable.append(members)
        return np.concatenate(unable)
