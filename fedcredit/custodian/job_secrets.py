"""What a custodian keeps of a job in memory only: its noise key, its agreement key, and the secrets with its peers.

They die with the process. A restarted custodian draws new ones and says so by a higher, signed key epoch.
"""

from dataclasses import dataclass

from fedcredit.privacy.bits import BitSource
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import PairSecrets


@dataclass(slots=True)
class JobSecrets:
    """One job's secrets.

    Attributes
    ----------
    noise
        Source of the job's noise.
    agreement
        Key from which the pairwise masks come.
    join
        The exact signed envelope in which the agreement key was announced.
    pairs
        Secrets with the peers of the accepted key transcript; None before there is one.
    witnessed
        Whether enough of them have shown that they know no newer ledger of ours.
    """

    noise: BitSource
    agreement: AgreementKey
    join: bytes
    pairs: PairSecrets | None = None
    witnessed: bool = False

    def accept(self, pairs: PairSecrets) -> None:
        """Mask under another transcript from now on."""
        if self.pairs is not None:
            self.pairs.wipe()
        self.pairs, self.witnessed = pairs, False

    def wipe(self) -> None:
        """Forget everything."""
        self.noise.wipe()
        self.agreement.wipe()
        if self.pairs is not None:
            self.pairs.wipe()

    def __repr__(self) -> str:
        return "JobSecrets(hidden)"
