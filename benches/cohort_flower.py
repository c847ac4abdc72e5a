"""The same round by Flower's simulation engine on Ray: one client per institution, NumPy's sums, our noise.

``python -m benches.cohort_flower FOLDER INSTITUTIONS ROUNDS`` prints a JSON line with the seconds until the first reply
of a round and of each round. The rows lie in FOLDER, where `benches.cohort` has put them.
"""

import json
import os
import pickle
import sys
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1", RAY_USAGE_STATS_ENABLED="0")

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from benches.cohort_task import Task, one_dp_vector
from fedcredit.data.rows import Rows
from fedcredit.privacy.bits import OsBitSource

FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
client, server = ClientApp(), ServerApp()
_TASKS: list[Task] = []


def _task() -> Task:
    if not _TASKS:
        dictionary, tables, bad, offsets = pickle.loads((FOLDER / "task.pickle").read_bytes())
        cells = np.load(FOLDER / "cells.npy", mmap_mode="r")
        _TASKS.append(Task(dictionary, Rows(cells, bad, offsets), tables))
    return _TASKS[0]


@client.train()
def _train(message: Message, context: Context) -> Message:
    variance = int(message.content["config"]["variance"])
    vector = one_dp_vector(_task(), int(context.node_config["partition-id"]), variance, OsBitSource())
    return Message(RecordDict({"sums": ArrayRecord([vector])}), reply_to=message)


@server.main()
def _main(grid: Grid, _: Context) -> None:
    rounds, institutions = int(os.environ["BENCH_ROUNDS"]), int(os.environ["BENCH_INSTITUTIONS"])
    while len(nodes := list(grid.get_node_ids())) < institutions:
        time.sleep(0.2)
    task, seconds = _task(), []
    weights = task.tables.weights.astype(np.int64)
    for _round in range(rounds):
        start = time.perf_counter()
        content = RecordDict({"weights": ArrayRecord([weights]), "config": ConfigRecord({"variance": 10**8})})
        replies = grid.send_and_receive([Message(content, dst_node_id=node, message_type="train") for node in nodes])
        total = np.zeros(task.tables.length, dtype=np.int64)
        for reply in replies:
            total += reply.content["sums"].to_numpy_ndarrays()[0]
        seconds.append(time.perf_counter() - start)
    (FOLDER / "flower.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    os.environ.update(BENCH_FOLDER=sys.argv[1], BENCH_INSTITUTIONS=sys.argv[2], BENCH_ROUNDS=sys.argv[3])
    run_simulation(
        server_app=server,
        client_app=client,
        num_supernodes=int(sys.argv[2]),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"logging_level": "error"}},
    )
