"""Every error that fedcredit raises, in one tree.

A message says what was wrong, the offending value (never a record's) and the remedy. Callers catch by branch; the
command line prints the sentence and exits with a non-zero code.

::

    FedcreditError
    ├── ConfigError                a setting, policy, plan or file that a person wrote
    │   └── DictionaryError        the data dictionary or a column mapping
    ├── DataError                  a table: missing column, wrong type, empty file
    │   └── CheckError             value-level problems; raised only by an institution's own check
    ├── PrivacyError               a parameter that would weaken or void the guarantee
    │   ├── BudgetError            the ledger cannot pay for what was asked
    │   └── LedgerError            the ledger file is damaged, foreign or in use
    ├── WireError                  truncated, foreign or oversized bytes
    ├── RefusalError               a custodian or the coordinator refuses a well-formed message
    └── JobError                   the job cannot go on (quorum, deadline, store)
        └── AbsenceError           institutions are not there now; the same job goes on later by itself
"""

from collections.abc import Sequence


class FedcreditError(Exception):
    """Root of every error that fedcredit raises on purpose."""


class ConfigError(FedcreditError):
    """A setting, policy, plan or file that a person wrote is unusable."""


class DictionaryError(ConfigError):
    """The data dictionary, or a mapping onto it, is unusable."""


class DataError(FedcreditError):
    """A table lacks what the dictionary asks for (column, type, rows)."""


class CheckError(DataError):
    """Value-level problems found by an institution's own check, all at once.

    Parameters
    ----------
    problems
        One sentence each, for the institution's own console; never sent anywhere.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class PrivacyError(FedcreditError):
    """A parameter would weaken or void the privacy guarantee."""


class BudgetError(PrivacyError):
    """The privacy ledger cannot pay for what was asked."""


class LedgerError(PrivacyError):
    """The ledger file is damaged, belongs to another population, or is in use."""


class WireError(FedcreditError):
    """Bytes that are truncated, foreign, of another version, or too large."""


class RefusalError(FedcreditError):
    """A well-formed message that is refused.

    Parameters
    ----------
    code
        Short stable word that may leave the institution (``"budget"``, ``"dictionary"``, …).
    message
        The sentence with the remedy. It holds no record's value and no remaining budget.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class JobError(FedcreditError):
    """The job cannot go on: quorum lost, deadline passed, or its store is unusable."""


class AbsenceError(JobError):
    """Institutions are not there now: nothing was decided, and the same job can be started again later."""
