"""The noise step: rounded Gaussian noise as a function of a key, a context and the exact vector.

The context names the message (plan, role, round, attempt, members, model) and the hash of the pre-noise vector. A
fork, a clone or a restored snapshot of the process therefore repeats the same bytes or draws independent noise; it
never adds one noise to two different vectors, whose difference would be exact.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy import rounded_gaussian
from fedcredit.privacy.bits import BitSource, noise_context
from fedcredit.wire.canonical import digest
from fedcredit.wire.messages import Role, RoundRequest


class NoiseLaw(Protocol):
    """How a custodian turns bits into noise; a custodian built from a policy file has only `rounded_gaussian_noise`."""

    def __call__(
        self, role: Role, noise_variance: int, size: int, bits: BitSource, context: bytes
    ) -> NDArray[np.int64]:
        """Noise for one vector of `size` coordinates."""
        ...


def rounded_gaussian_noise(
    role: Role,  # noqa: ARG001  (every phase has the same law)
    noise_variance: int,
    size: int,
    bits: BitSource,
    context: bytes,
) -> NDArray[np.int64]:
    """Independent rounded Gaussian integers of the plan's variance."""
    return rounded_gaussian.draw(noise_variance, size, bits.stream(context, rounded_gaussian.bytes_needed(size)))


def no_noise(role: Role, noise_variance: int, size: int, bits: BitSource, context: bytes) -> NDArray[np.int64]:  # noqa: ARG001
    """Zeros: only for a custodian of public or synthetic data (`fedcredit.custodian.site.NotPrivate`)."""
    return np.zeros(size, dtype=np.int64)


def message_context(job: str, request: RoundRequest, roster_hash: bytes, model_hash: bytes) -> bytes:
    """Everything that names one message before its rows are read."""
    return noise_context(
        job.encode(),
        request.plan_hash,
        request.role.name.encode(),
        request.round.to_bytes(8, "big"),
        request.attempt.to_bytes(8, "big"),
        roster_hash,
        model_hash,
    )


def step_context(message: bytes, step: int) -> bytes:
    """The context of one step, from 0, of a message that is made of several."""
    return noise_context(b"step", message, step.to_bytes(8, "big"))


def vector_context(message: bytes, exact: NDArray[np.int64]) -> bytes:
    """The message's context together with the hash of its pre-noise vector."""
    return noise_context(b"noise", message, digest("vector", exact.astype("<i8").tobytes()))


def sampling_context(message: bytes) -> bytes:
    """The message's context for a Poisson sample of its rows."""
    return noise_context(b"sample", message)
