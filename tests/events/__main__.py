"""``python -m tests.events --sequences 10000 --seed 1``: the event simulation as one command."""

import argparse
import os
import sys
from time import monotonic

from tests.events.search import Report, described, search_with


def main() -> int:
    """Run, print what was reached and what failed; 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.events", description="Random schedules of whole jobs.")
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked, begun = parser.parse_args(), monotonic()

    def tell(report: Report) -> None:
        print(f"{report.sequences} sequences, {report.failed} failures", file=sys.stderr, flush=True)

    report = search_with(asked.workers, asked.sequences, asked.seed, tell)
    print(f"seed {asked.seed}, {asked.workers} processes, {monotonic() - begun:.0f} s")
    print(described(report))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
