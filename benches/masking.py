"""What secure aggregation costs one institution: ``python -m benches.masking``.

Per round: the time to make and apply the mask of 10,000 coordinates. Once per job: reading the other members' joins
and agreeing on a secret with each. The yardstick is NumPy's PCG64 drawing as many words, which hides nothing. On the
wire: the bytes of a signed contribution beyond eight per coordinate.
"""

import statistics
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from fedcredit.roster import Member, Roster
from fedcredit.secure_aggregation.agreement import AgreementKey
from fedcredit.secure_aggregation.masks import MaskPlace, PairSecrets
from fedcredit.secure_aggregation.transcript import read_transcript
from fedcredit.wire.envelope import SigningKey
from fedcredit.wire.heads import sign_head
from fedcredit.wire.messages import Contribution, JoinReply, Role

COORDINATES = 10_000
REPEATS = 25
READER = "bank-0"
HASH = bytes(range(32))


def median_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of some calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def consortium(n: int) -> tuple[Roster, AgreementKey, tuple[bytes, ...]]:
    """A roster of n members, the reader's key and everybody's signed join."""
    identities = [SigningKey.generate() for _ in range(n)]
    keys = [AgreementKey() for _ in range(n)]
    members = tuple(
        Member(id=f"bank-{i}", kind="bank", public_size=1000, public_key=identity.public.hex())
        for i, identity in enumerate(identities)
    )
    roster = Roster(version=1, expires=date(2099, 12, 31), members=members)
    joins = tuple(
        identity.seal(
            member.id,
            JoinReply(HASH, 0, 1, roster.digest(), key.public, 1, HASH, HASH, sign_head(identity, member.id, 0, HASH)),
        )
        for identity, member, key in zip(identities, members, keys, strict=True)
    )
    return roster, keys[0], joins


def costs(n: int) -> list[float]:
    """Milliseconds: mask per round, words of PCG64, transcript once, secrets once."""
    roster, key, joins = consortium(n)
    names = tuple(member.id for member in roster.members)
    place = MaskPlace("bench", HASH, Role.TRAIN, 1, 1, roster.attempt_digest(names), HASH)
    transcript = read_transcript(HASH, roster, READER, joins[0], joins)
    secrets = PairSecrets(key, READER, transcript)
    vector = np.arange(COORDINATES, dtype=np.int64)
    generator = np.random.Generator(np.random.PCG64())
    return [
        median_ms(lambda: secrets.mask(place, names, COORDINATES).apply(vector)),
        median_ms(lambda: generator.integers(0, 2**64, (n - 1) * COORDINATES, dtype=np.uint64)),
        median_ms(lambda: read_transcript(HASH, roster, READER, joins[0], joins), 5),
        median_ms(lambda: PairSecrets(key, READER, transcript), 5),
    ]


def overhead() -> int:
    """Bytes of a signed contribution beyond eight per coordinate, with the longest name that a roster allows."""
    vector = bytes(8 * COORDINATES)
    message = Contribution(HASH, Role.EVALUATE, 2**32 - 1, 2**32 - 1, HASH, HASH, vector, 2**64 - 1, HASH, bytes(64))
    return len(SigningKey.generate().seal("b" * 63, message)) - len(vector)


def main() -> None:
    """Print the table."""
    print(f"{COORDINATES:,} coordinates, one institution, median ms")
    print(
        f"{'institutions':>12} {'mask/round':>11} {'PCG64':>7} {'ratio':>6} {'joins, once':>12} {'secrets, once':>14}"
    )
    for n in (3, 10, 50):
        mask, pcg64, transcript, secrets = costs(n)
        print(f"{n:>12} {mask:>11.2f} {pcg64:>7.2f} {mask / pcg64:>6.2f} {transcript:>12.2f} {secrets:>14.2f}")
    print(f"contribution: {overhead()} bytes beyond 8 per coordinate (bar: 1024); mask, 50 institutions: bar 50 ms")


if __name__ == "__main__":
    main()
