"""What scoring costs: ``python -m benches.scoring``, beside a memory copy and an empty gRPC echo in the same run.

A scorecard of the packaged data set's 23 features, all of one institution type, with as many bins as real ones have.
Batch: rows per CPU second of one core, for values in memory (quantise, look up, add, four reasons), and for a Parquet
file into a Parquet file. The memory copy reads and writes the same values. Service: one customer per call at a steady
rate on loopback, from a process of its own, and the same bytes to a service that sends them back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from hashlib import sha256
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fedcredit.data.sources import ParquetSource
from fedcredit.data.uci import uci_dictionary
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.bin_labels import bin_label
from fedcredit.models.scorecard_release import Scorecard, ScorecardBin, ScorecardFeature
from fedcredit.package.contents import DICTIONARY, HEAD, MODEL, Head, Lineage, ModelPackage
from fedcredit.package.storage import checked_package
from fedcredit.scoring import scoring_pb2 as pb
from fedcredit.scoring.batch import score_table
from fedcredit.scoring.card import ScoringCard, card_of
from fedcredit.scoring.kernel import TableScorer
from fedcredit.scoring.listening import Listen
from fedcredit.scoring.reading import read_columns, reading_of
from fedcredit.scoring.service import METHOD, Decider, ScoringService
from fedcredit.wire.canonical import canonical_json

VIEW, BINS, REPEATS, TURNS, WARM_UP = "bank", 8, 5, 6, 50
ECHO = "bench.Echo"


def made_up(dictionary: DataDictionary) -> ModelPackage:
    """A package with weights at random."""
    generator, features = np.random.default_rng(0), []
    for feature in dictionary.features:
        values = feature.missing_cell
        count = min(BINS, values)
        of_cell = np.append(np.arange(values) * count // values if feature.range else np.arange(values) % count, 0)
        bins = []
        for number in range(count):
            cells = tuple(np.flatnonzero(of_cell == number).tolist())
            weight, label = int(generator.integers(-900, 900)), bin_label(feature, cells)
            bins.append(ScorecardBin(label=label, cells=cells, good=900, bad=100, woe=0, iv=0, weight=weight))
        features.append(ScorecardFeature(name=feature.name, block=feature.block, iv=0, bins=tuple(bins)))
    names, intercepts = (
        dict.fromkeys(dictionary.kinds, dictionary.feature_names),
        dict.fromkeys(dictionary.kinds, -1300),
    )
    model = canonical_json(Scorecard(intercepts=intercepts, views=names, features=tuple(features)).to_json())
    contents = {MODEL: model, DICTIONARY: yaml.safe_dump(dictionary.model_dump(mode="json"), sort_keys=False).encode()}
    hashes = {name: sha256(content).hexdigest() for name, content in contents.items()}
    head = Head(
        job="bench",
        purpose="bench",
        created="",
        not_private=True,
        dictionary=dictionary.digest().hex(),
        files=hashes,
        lineage=Lineage(plan="0" * 64, roster="0" * 64, receipts={}, released=hashes),
    )
    return checked_package({HEAD: canonical_json(head.model_dump(mode="json")), **contents}, "bench")


def customers(card: ScoringCard, n: int) -> pa.Table:
    """Rows within the declared ranges, skewed as amounts are."""
    generator, columns = np.random.default_rng(1), {"id": np.arange(n)}
    for one in card.features:
        if one.feature.range is None:
            columns[one.feature.name] = generator.choice([int(code) for code in one.feature.codes], n)
        else:
            low, high = one.feature.range
            values = low + (high - low) * generator.random(n) ** 4
            columns[one.feature.name] = values.astype(np.int64) if one.feature.type == "integer" else values
    return pa.table(columns)


def fastest(run: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the fastest of several runs."""
    took = []
    for _ in range(REPEATS):
        begun = clock()
        run()
        took.append(clock() - begun)
    return min(took)


def batch(card: ScoringCard, n: int) -> None:
    table = customers(card, n)
    columns, _ = read_columns(reading_of(card, None, table.column_names), table)
    values = [one for one in columns if one is not None]
    target = [np.empty_like(one) for one in values]

    def copy() -> None:
        for one, other in zip(values, target, strict=True):
            np.copyto(other, one)

    scorer = TableScorer(card)
    size = sum(one.nbytes for one in values)
    copied, scored = fastest(copy), fastest(lambda: scorer.score(columns, n))
    read = fastest(lambda: read_columns(reading_of(card, None, table.column_names), table))
    cuts = sum(len(one.cuts) for one in card.features)
    print(f"{len(card.features)} features, {cuts} cuts, {n:,} rows, {size / 2**20:.0f} MiB")
    print(f"memory copy                   {n / copied / 1e6:7.2f} M rows per CPU second")
    print(f"values in memory -> scores    {n / scored / 1e6:7.2f} M rows per CPU second (bar: 1)")
    print(f"Arrow columns -> values, flags{n / read / 1e6:7.2f} M rows per CPU second")
    print(f"both: Arrow columns -> scores {n / (read + scored) / 1e6:7.2f} M rows per CPU second (bar: 1)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(table, folder / "in.parquet")
        numbers = iter(range(REPEATS))
        whole = fastest(
            lambda: score_table(card, ParquetSource(folder / "in.parquet"), None, folder / f"{next(numbers)}.parquet")
        )
    print(f"Parquet file -> Parquet file  {n / whole / 1e6:7.2f} M rows per CPU second of all threads", flush=True)


def percentiles(seconds: list[float]) -> str:
    p50, p99, highest = np.percentile(seconds, [50, 99, 100]) * 1e3
    return f"p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   max {highest:6.2f} ms"


def call_steadily(address: str, method: str, message: bytes, rate: int, count: int) -> list[float]:
    """Seconds of each call; calls begin on schedule whether or not earlier ones have ended."""
    took: list[float] = []
    with grpc.insecure_channel(address) as channel, futures.ThreadPoolExecutor(32) as pool:
        ask = channel.unary_unary(method)
        for _ in range(WARM_UP):
            ask(message, timeout=30)

        def one(due: float) -> None:
            ask(message, timeout=30)
            took.append(time.perf_counter() - due)

        begun = time.perf_counter() + 0.05
        for number in range(count):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(one, time.perf_counter())
    return took


def service(card: ScoringCard, rate: int, count: int) -> None:
    row = customers(card, 1).to_pylist()[0]
    values = {one.feature.name: pb.Value(number=row[one.feature.name]) for one in card.features}
    message = pb.ScoreRequest(customers=[pb.Customer(id="1", values=values)]).SerializeToString()
    echo = grpc.server(futures.ThreadPoolExecutor(4))
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
    echo.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO, {"Ask": method}),))
    port = echo.add_insecure_port("127.0.0.1:0")
    echo.start()
    with ScoringService(Decider(card), Listen()) as serving:
        decider, given = Decider(card), [("1", {name: value.number for name, value in values.items()})]
        alone = fastest(lambda: [decider.decide(given) for _ in range(1000)]) / 1000
        print(f"one decision, without gRPC: {alone * 1e6:.0f} microseconds of CPU")
        targets = {"echo": (port, f"/{ECHO}/Ask"), "score": (serving.port, METHOD)}
        took: dict[str, list[float]] = {name: [] for name in targets}
        own = dict.fromkeys(targets, 0.0)
        # In short turns, so that both meet the same other work of the machine.
        for _ in range(TURNS):
            for name, (where, path) in targets.items():
                asked = {"address": f"127.0.0.1:{where}", "method": path, "rate": rate, "count": count // TURNS}
                begun = time.process_time()
                command = [sys.executable, "-m", "benches.scoring", "--call", json.dumps(asked)]
                done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=True)
                own[name] += time.process_time() - begun
                took[name] += json.loads(done.stdout)
        for name, seconds in took.items():
            each = own[name] / (len(seconds) + TURNS * WARM_UP) * 1e6
            print(f"{name:6s} {percentiles(seconds)}   server {each:4.0f} microseconds of CPU per call", flush=True)
    echo.stop(None)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--rate", type=int, default=500)
    options.add_argument("--calls", type=int, default=5000)
    options.add_argument("--call", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.call:
        asked = json.loads(given.call)
        message = sys.stdin.buffer.read()
        print(json.dumps(call_steadily(asked["address"], asked["method"], message, asked["rate"], asked["count"])))
        return
    card = card_of(made_up(uci_dictionary(flat=True)), VIEW)
    batch(card, given.rows)
    service(card, given.rate, given.calls)


if __name__ == "__main__":
    main()
