"""Torch modules as users write them: sound ones, and one for each reason to refuse."""

import hashlib
from pathlib import Path

import torch
from torch import nn

PATH = "tests.own_module"


class ResidualNet(nn.Module):
    def __init__(self, n_inputs: int, width: int = 5) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, width)
        self.norm = nn.LayerNorm(width)
        self.block = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))
        self.last = nn.Linear(width, 1)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.norm(self.first(records)))
        return self.last(hidden + self.block(hidden))


class Tied(nn.Module):
    """One parameter under two names, one that is unused, one that the constructor sets to a constant."""

    def __init__(self, n_inputs: int, scale: float = 0.5) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, n_inputs)
        self.again = self.first
        self.unused = nn.Parameter(torch.randn(3))
        self.scale = nn.Parameter(torch.full((1,), scale))
        self.last = nn.Linear(n_inputs, 1)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.again(torch.tanh(self.first(records))) * self.scale))


class Fails(ResidualNet):
    """Raises on a record whose last two inputs are (1, 0) and gives NaN where they are (0, 1)."""

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        if len(records) == 1 and records[0, -2] == 1 and records[0, -1] == 0:
            raise ValueError("a value of a record")
        wrong = (records[:, -2:-1] == 0) & (records[:, -1:] == 1)
        return super().forward(records) * torch.where(wrong, torch.nan, 1.0)


class _Around(nn.Module):
    def __init__(self, n_inputs: int, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 4), *layers, nn.Linear(4, 1))

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records)


class Batch(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs, nn.BatchNorm1d(4))


class Instance(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs, nn.InstanceNorm1d(4, track_running_stats=True))


class Drops(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs, nn.Dropout(0.01))


class DropsByHand(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.layers(records), 0.5, self.training)


class Noisy(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records) + torch.rand(len(records), 1, dtype=records.dtype)


class Modes(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records) * (2.0 if self.training else 1.0)


class Centred(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records - records.mean(dim=0))


class Remembers(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        self.seen += records.detach().sum()
        return self.layers(records)


class RemembersInSecret(_Around):
    last = 0.0

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        before, self.last = self.last, float(records.sum())
        return self.layers(records) + before


class Shrinks(_Around):
    """Pulls large weights back at each record, and counts those records; does nothing at the initial weights."""

    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            weight = self.layers[-1].weight
            large = weight.abs() > 4
            weight.copy_(torch.where(large, 0.9 * weight, weight))
            self.count = self.count + large.any()
        return self.layers(records) / (1 + self.count)


class Frozen(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.layers[0].bias.requires_grad_(False)


class Complex(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.turn = nn.Parameter(torch.zeros(2, dtype=torch.complex64))


class Weightless(nn.Module):
    def __init__(self, n_inputs: int) -> None:
        super().__init__()
        self.n_inputs = n_inputs

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return records[:, : min(1, self.n_inputs)]


class Huge(_Around):
    """Larger than any memory; cheap to refuse."""

    def __init__(self, n_inputs: int, width: int = 2**24) -> None:
        super().__init__(n_inputs, nn.Linear(width, width))


class Several(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records), records


class Flat(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records)[:, 0]


class Short(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records).float()


class Infinite(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records) / records[:, :1]


class Raises(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        raise IndexError(f"out of range for {records.dtype}")


class Detached(_Around):
    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records).detach()


class HiddenChance(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.mixture = torch.randn(n_inputs, dtype=torch.float64)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        return self.layers(records * self.mixture)


class ReadsATensor(_Around):
    def __init__(self, n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.total = float(torch.ones(3).sum())


class NoModule:
    """Fits nowhere."""


def source_sha256() -> str:
    """Of this file, worked out by hand."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
