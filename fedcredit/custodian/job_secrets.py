"""What a custodian keeps of a job in memory only: its noise key, its agreement key, and the secrets with its peers.

They die with the process. A restarted custodian draws new ones and says so by a higher, signed key epoch.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    controls
        Of the last two rounds whose message is charged, the control variate that its local steps gave
        (`fedcredit.custodian.local_steps`).
    """

    noise: BitSource
    agreement: AgreementKey
    join: bytes
    pairs: PairSecrets | None = None
    witnessed: bool = False
    controls: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def accept(self, pairs: PairSecrets) -> None:
        """Mask under another transcript from now on."""
        if self.pairs is not None:
            self.pairs.wipe()
        self.pairs, self.witnessed = pairs, False

    def wipe(self) -> None:
        """Forget everything."""
        self.controls.clear()
        self.noise.wipe()
        self.agreement.wipe()
        if self.pairs is not None:
            self.pairs.wipe()

    def __repr__(self) -> str:
        return "JobSecrets(hidden)"
