"""What one institution's update of a perceptron costs: ``python -m benches.neural``.

One local epoch over 600 rows, 23 features, hidden layers of 64 and 32, at an expected batch of q·600 rows: q = 0.25 as
in `configs/model/mlp.yaml`, and batches of 32 as in Flower's Opacus example. Four times ours: one institution without
noise; the same with rounded Gaussian noise at each step; the same with the compiled kernel; and a simulated cohort of
50 institutions, whose steps are stacked and whose time is divided by 50. Counted of each institution: model bytes in
and out, inputs from cells, at each step a Poisson sample of its own from bits of the operating system, clipping, exact
integer sums on its own weights and, but for the first, noise of its own. Against it, both with noise: Opacus in this
process with its own engine and loader, set-up not counted; and a Flower simulation on Ray, one client at a time, whose
clients do what that example's do (engine, epoch, ε), after a round that warms it up. One thread each. Medians; each
ratio says how many times faster one of ours is. The bars are for a batch of 150. Needs extras `fast`, `neural` and
`ray`.
"""

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

# Before NumPy and torch are imported: one thread each. Flower and Ray report nothing.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1", RAY_USAGE_STATS_ENABLED="0")

import warnings

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from numpy.typing import NDArray
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benches.made_up import dictionary_of
from fedcredit.data.rows import Rows, concatenate, single
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models.descent import WEIGHT_SCALE, on_grid
from fedcredit.models.family import Kernel, family_of
from fedcredit.models.mlp_cohort import load, step_sums
from fedcredit.models.mlp_inputs import design
from fedcredit.models.mlp_kernel import clipped_sums_of
from fedcredit.models.mlp_model import MlpModel, decode
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.preflight import count, read_release
from fedcredit.privacy import poisson, rounded_gaussian
from fedcredit.privacy.bits import OsBitSource

ROWS = 600
FEATURES = 23
HIDDEN = (64, 32)
CLIP = 2.0
NOISE_MULTIPLIER = 1.0
TURNS, REPEATS = 9, 5
CLIENTS, ROUNDS = 8, 3
COHORT = 50
OURS = ("no noise", "with noise", "compiled", "stacked")
OPACUS_BAR, FLOWER_BAR = 5, 100


def medians_ms(*works: Callable[[], object]) -> list[float]:
    """Median wall times of some works, in milliseconds; in turns, so that all share what else the machine does."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TURNS):
        for work, own in zip(works, times, strict=True):
            work()  # warms up
            for _ in range(REPEATS):
                start = time.perf_counter()
                work()
                own.append(time.perf_counter() - start)
    return [1000 * statistics.median(own) for own in times]


@dataclass(frozen=True)
class Ours:
    """A plan's constants and the model that its first round starts from, for a sampling rate."""

    dictionary: DataDictionary
    spec: MlpSpec
    start: bytes
    length: int
    bits: OsBitSource

    def sample(self, name: bytes) -> NDArray[np.bool_]:
        """One institution's Poisson sample of its rows."""
        words = self.bits.stream(b"sample" + name, poisson.bytes_needed(ROWS))
        return poisson.sample(Fraction(self.spec.sampling_rate), ROWS, words)

    def noise(self, name: bytes) -> NDArray[np.int64]:
        """One institution's noise of one step."""
        words = self.bits.stream(b"noise" + name, rounded_gaussian.bytes_needed(self.length))
        return rounded_gaussian.draw(int((NOISE_MULTIPLIER * self.spec.clip_radius) ** 2), self.length, words)

    def moved(self, weights: NDArray[np.float64], sums: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weights after a step."""
        return weights - self.spec.learning_rate / (self.spec.gradient_scale * self.spec.sampling_rate * ROWS) * sums


def ours(rate: float) -> Ours:
    """The bench's plan."""
    dictionary = dictionary_of(FEATURES, 20)
    spec = MlpSpec(hidden_sizes=HIDDEN, sampling_rate=rate, clip_l2_norm=CLIP)
    family = family_of("mlp")
    released = read_release(
        dictionary, count(dictionary, "bank", our_rows(0)).sum(axis=0), 1, dict.fromkeys(range(FEATURES), 0)
    )
    length = family.terms(spec, dictionary).vector_length
    state = family.init(spec, dictionary, released, np.zeros(0), np.full(length, float(ROWS)))
    return Ours(dictionary, spec, family.broadcast(state), length, OsBitSource())


def our_update(rate: float, kernel: Kernel, *, noise: bool) -> Callable[[], object]:
    """One local epoch with what the custodian computes at each step, model bytes in and out."""
    plan, rows, clipped_sums = ours(rate), our_rows(0), clipped_sums_of(kernel)
    spec, dictionary = plan.spec, plan.dictionary

    def epoch() -> object:
        model = decode(spec, dictionary, plan.start)
        inputs = np.ascontiguousarray(design(spec, dictionary, "bank", model.values, rows.cells).T)
        weights = model.units / WEIGHT_SCALE
        for step in range(steps(rate)):
            name = os.urandom(16) + bytes([step])
            mask = plan.sample(name)
            layers = MlpModel(model.values, on_grid(weights)).layers(spec, dictionary)
            radii = np.full(np.count_nonzero(mask), spec.clip_radius)
            batch = (inputs[:, mask], rows.bad[mask], spec.gradient_scale, radii)
            (sums,) = clipped_sums(layers, *batch, [slice(None)])
            if noise:
                sums += plan.noise(name)
            weights = plan.moved(weights, sums)
        return MlpModel(model.values, on_grid(weights)).encode()

    return epoch


def our_cohort(rate: float) -> Callable[[], object]:
    """One local epoch of a whole cohort, stacked; every institution draws its own samples and noise."""
    plan, rows = ours(rate), concatenate([our_rows(seed) for seed in range(COHORT)])
    spec, dictionary = plan.spec, plan.dictionary

    def epoch() -> object:
        models = [decode(spec, dictionary, plan.start) for _ in range(COHORT)]
        records = load(spec, dictionary, "bank", models, rows, "cpu")
        weights = np.stack([model.units for model in models]) / WEIGHT_SCALE
        for step in range(steps(rate)):
            names = [os.urandom(16) + bytes([step]) for _ in range(COHORT)]
            chosen = np.concatenate([plan.sample(name) for name in names])
            sums = step_sums(spec, dictionary, on_grid(weights), records, chosen)
            weights = plan.moved(weights, sums + np.stack([plan.noise(name) for name in names]))
        units = on_grid(weights)
        return [MlpModel(model.values, own).encode() for model, own in zip(models, units, strict=True)]

    return epoch


def our_rows(seed: int) -> Rows:
    """Made-up records on the grids of the bench's dictionary."""
    generator = np.random.default_rng(seed)
    cells = generator.integers(0, 20, (ROWS, FEATURES)).astype(np.uint16)
    return single(cells, (generator.random(ROWS) < 0.05 + 0.02 * cells[:, 0]).astype(np.uint8))


def steps(rate: float) -> int:
    """Expected number of Poisson steps of an epoch."""
    return round(1 / rate)


def network() -> nn.Sequential:
    """The same shapes in torch."""
    first, second = HIDDEN
    return nn.Sequential(
        nn.Linear(FEATURES, first), nn.Tanh(), nn.Linear(first, second), nn.Tanh(), nn.Linear(second, 1)
    )


def opacus_trainer(module: nn.Module, rate: float, engine: PrivacyEngine) -> Callable[[], object]:
    """One epoch with Opacus as its documentation shows it."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS, FEATURES, generator=generator)
    labels = (torch.rand(ROWS, generator=generator) < 0.25).float()
    module, optimizer, loader = engine.make_private(
        module=module.train(),
        optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
        data_loader=DataLoader(TensorDataset(inputs, labels), batch_size=round(rate * ROWS)),
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=CLIP,
    )
    loss_of = nn.BCEWithLogitsLoss()

    def epoch() -> object:
        for x, y in loader:
            optimizer.zero_grad()
            loss_of(module(x)[:, 0], y).backward()
            optimizer.step()
        return module

    return epoch


def flower_apps(rate: float, finished: list[float]) -> tuple[ServerApp, ClientApp]:
    """A federation as Flower's own examples build it; `finished` gets the time at which each round ended."""
    server, client = ServerApp(), ClientApp()

    @client.train()
    def train(message: Message, _: Context) -> Message:
        # Opacus' hooks warn about inputs that need no gradient, in every actor.
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        module = network()
        module.load_state_dict(message.content["arrays"].to_torch_state_dict())
        engine = PrivacyEngine()
        opacus_trainer(module, rate, engine)()
        engine.get_epsilon(delta=1e-5)
        content = {"arrays": ArrayRecord(module.state_dict()), "metrics": MetricRecord({"num-examples": ROWS})}
        return Message(content=RecordDict(content), reply_to=message)

    @server.main()
    def main(grid: Grid, _: Context) -> None:
        def note(_round: int, _arrays: ArrayRecord) -> None:
            finished.append(time.perf_counter())

        strategy = FedAvg(
            fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS
        )
        strategy.start(grid, ArrayRecord(network().state_dict()), ROUNDS, train_config=ConfigRecord(), evaluate_fn=note)

    return server, client


def flower_ms(rate: float) -> float:
    """Milliseconds per client update over the rounds after the first."""
    finished: list[float] = []
    server, client = flower_apps(rate, finished)
    backend: dict[str, Any] = {"client_resources": {"num_cpus": os.cpu_count(), "num_gpus": 0.0}}
    run_simulation(server, client, num_supernodes=CLIENTS, backend_config=backend)
    _, first, *others = finished
    return 1000 * statistics.median(np.diff([first, *others]).tolist()) / CLIENTS


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"one client update: {ROWS} rows, MLP {FEATURES}-{HIDDEN[0]}-{HIDDEN[1]}-1, one epoch, median ms")
    print(_line(("batch", "steps", *OURS, "Opacus", "Flower + Opacus")), flush=True)
    for batch in (150, 32):
        rate = batch / ROWS
        *alone, together, opacus = medians_ms(
            our_update(rate, "numpy", noise=False),
            our_update(rate, "numpy", noise=True),
            our_update(rate, "compiled", noise=True),
            our_cohort(rate),
            opacus_trainer(network(), rate, PrivacyEngine()),
        )
        own, flower = [*alone, together / COHORT], flower_ms(rate)
        print(_line((batch, steps(rate), *(f"{cost:.2f}" for cost in (*own, opacus, flower)))))
        for name, cost in (("Opacus", opacus), ("Flower + Opacus", flower)):
            print(f"  {name}: " + ", ".join(f"{cost / ms:.1f}x {title}" for title, ms in zip(OURS, own, strict=True)))
        print(end="", flush=True)
    print(f"bars: {OPACUS_BAR}x Opacus in process, {FLOWER_BAR}x Flower's simulation with Opacus")


def _line(cells: Iterable[object]) -> str:
    return "".join(f"{cell!s:>17}" for cell in cells)


if __name__ == "__main__":
    main()
