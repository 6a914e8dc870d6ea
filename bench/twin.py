"""Probeg's network and training step in PyTorch on the CPU, as a reference for speed and memory.

Run by `bench/training` as a separate process, so that both sides are measured in the same way. The members of the
ensemble are one batched network, their weights stacked along a first axis of length k, which takes as much CPU time as
separate networks.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

# Initial value of the price drops per mileage bin: almost zero after the softplus.
INITIAL_DROP = -4.0
# The shares of rows whose make, and whose model only, is masked as if it had never been listed.
UNSEEN_MAKE_SHARE, UNSEEN_MODEL_SHARE = 0.02, 0.02
# The indices of the make and the model, both among the fields and among the categories, and of the generation.
BRAND, MODEL, GENERATION = 0, 1, 2


class Twin(nn.Module):
    """`k` members: embeddings, a multi-layer perceptron, and a head whose outputs sum to monotonic quantiles."""

    def __init__(self, config: dict[str, Any], cardinalities: list[int], numbers: int) -> None:
        super().__init__()
        k, width, quantiles = config["k"], config["d_block"], len(config["quantiles"])
        bins, trunk = config["n_bins"] + 1, numbers - 1
        self.embedding = normal(0.3, k, sum(cardinalities) + len(cardinalities), config["d_embedding"])
        self.numeric = nn.Parameter(torch.cat([normal(bins**-0.5, k, trunk, bins, config["d_numeric"]), torch.zeros(k, trunk, 1, config["d_numeric"])], 2))
        inputs = len(cardinalities) * config["d_embedding"] + trunk * config["d_numeric"]
        outputs = quantiles + 1 + bins
        widths = [inputs, *[width] * config["n_blocks"], outputs]
        layers = list(zip(widths, widths[1:]))
        self.weights = nn.ParameterList([uniform(fan**-0.5, k, fan, out) for fan, out in layers])
        self.biases = nn.ParameterList([uniform(fan**-0.5, k, 1, out) for fan, out in layers[1:]])
        self.biases[-1].data[..., quantiles + 1 :] = INITIAL_DROP
        self.mileage = nn.Parameter(torch.zeros(k, outputs, outputs))
        self.dropout = config["dropout"]
        mask = torch.zeros(outputs, outputs)
        mask[quantiles + 1 :, 2 : quantiles + 1] = 1.0
        self.register_buffer("mileage_mask", mask)
        self.register_buffer("outputs_to_quantiles", outputs_to_quantiles(quantiles, outputs))

    def forward(self, rows: Tensor, numbers: Tensor, mileage: Tensor) -> Tensor:
        """Quantiles of the standardized log price, [k, N, Q], from embedding rows [N, C], encoded numbers
        [N, D - 1, B + 2], and weights of the outputs, [N, O]."""
        k, n = self.embedding.shape[0], rows.shape[0]
        categorical = self.embedding[:, rows].flatten(2)  # [k, N, C · E]
        numeric = torch.einsum("ndb,kdbe->knde", numbers, self.numeric).reshape(k, n, -1)  # [k, N, (D - 1) · W]
        hidden = functional.relu(torch.cat([categorical, functional.relu(numeric)], 2) @ self.weights[0])
        hidden = functional.dropout(hidden, self.dropout, self.training)
        for weight, bias in zip(self.weights[1:-1], self.biases[:-1]):
            hidden = functional.relu(torch.baddbmm(bias, hidden, weight))  # [k, N, H]
            hidden = functional.dropout(hidden, self.dropout, self.training)
        outputs = torch.baddbmm(self.biases[-1], hidden, self.weights[-1]) + mileage @ (self.mileage * self.mileage_mask)
        return (functional.softplus(outputs) * mileage) @ self.outputs_to_quantiles


def normal(deviation: float, *shape: int) -> nn.Parameter:
    """A weight drawn from a normal distribution."""
    return nn.Parameter(torch.randn(*shape) * deviation)


def uniform(bound: float, *shape: int) -> nn.Parameter:
    """A weight drawn from a uniform distribution around 0."""
    return nn.Parameter((2 * torch.rand(*shape) - 1) * bound)


def outputs_to_quantiles(quantiles: int, outputs: int) -> Tensor:
    """The matrix, [O, Q], that sums outputs to quantiles: the first minus the second is the median at zero mileage, then
    the gaps, subtracted below the median and added above it, then the price drops over the mileage."""
    gap, quantile = torch.arange(quantiles - 1)[:, None], torch.arange(quantiles)[None]
    median = quantiles // 2
    below = (quantile <= gap) & (gap < median)
    above = (quantile > gap) & (gap >= median)
    ones = torch.ones(1, quantiles)
    return torch.cat([ones, -ones, above.float() - below.float(), -torch.ones(outputs - quantiles - 1, quantiles)])


class Inputs:
    """Encodes raw ids and numbers, of which the year is first and the mileage last, as inputs of the network."""

    def __init__(self, data: dict[str, Tensor], config: dict[str, Any]) -> None:
        sizes = functional.pad(data["cardinalities"][:-1] + 1, (1, 0))
        self._offsets, self._always, bins = sizes.cumsum(0), len(config["quantiles"]) + 1, config["n_bins"]
        self._generations, self._first_year = data["generations"], data["first_year"]
        edges = [bin_edges(column, bins) for column in data["train_numbers"].T]
        # Unused bins start beyond every value, so that they stay 0.
        lower = [functional.pad(edge[:-1], (0, bins - len(edge) + 1), value=1e30) for edge in edges]
        widths = [functional.pad(edge.diff(), (0, bins - len(edge) + 1), value=1.0) for edge in edges]
        self._lower, self._inverse_width = torch.stack(lower), 1.0 / torch.stack(widths)

    def encode(self, ids: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of the stacked embedding, piecewise-linear codes, and the weights of the outputs."""
        missing = numbers.isnan()[..., None]
        known = numbers[..., None].masked_fill(missing, -1e30)
        encoded = ((known - self._lower) * self._inverse_width).clamp(0.0, 1.0)
        encoded = torch.cat([encoded, missing.float()], 2)
        codes = functional.pad(encoded[:, :-1], (0, 1), value=1.0)
        mileage = functional.pad(encoded[:, -1], (self._always, 0), value=1.0)
        return self._impute(ids, numbers[:, 0]) + self._offsets, codes, mileage

    def _impute(self, ids: Tensor, years: Tensor) -> Tensor:
        """Fills in missing generations from model and year."""
        row = (years.long() - self._first_year).clamp(0, len(self._generations) - 1)
        generations = ids[:, GENERATION]
        filled = torch.where(generations == 0, self._generations[row, ids[:, MODEL]], generations)
        return torch.cat([ids[:, :GENERATION], filled[:, None], ids[:, GENERATION + 1 :]], 1)


def bin_edges(values: Tensor, bins: int) -> Tensor:
    """At most `bins + 1` distinct quantiles, denser at both ends."""
    known = values[~values.isnan()].sort().values
    if len(known) == 0:
        return torch.zeros(1)
    position = torch.arange(bins + 1) / bins
    level = position.square() * (3.0 - 2.0 * position)
    return known[((len(known) - 1) * level).round().long()].unique()


class Masks:
    """Masks values as training/src/learner/masks.rs does, with one draw for all members."""

    def __init__(self, data: dict[str, Tensor], config: dict[str, Any]) -> None:
        self._short_forms, self._category_fields = data["short_forms"], data["category_fields"]  # [3], [C, F]
        self._category_names, self._number_fields = data["category_names"], data["number_fields"]  # [C, F], [D, F]
        self._share, self._category_dropout = config["mask"], config["category_dropout"]

    def apply(self, ids: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Drops a few categories in every row, in some rows the model or the make too, and in a share of the rows all
        values outside a form."""
        draw = torch.rand(len(ids), 1)
        is_hidden = torch.rand(ids.shape) < self._category_dropout
        is_hidden |= (draw < UNSEEN_MAKE_SHARE + UNSEEN_MODEL_SHARE) & self._category_fields[:, MODEL]
        is_hidden |= (draw < UNSEEN_MAKE_SHARE) & self._category_fields[:, BRAND]
        missing = ~self._forms(ids, numbers) & (torch.rand(len(ids), 1) < self._share)  # [N, F]
        is_hidden |= any_field(missing, self._category_fields.T)
        return ids * ~is_hidden, numbers.masked_fill(any_field(missing, self._number_fields.T), torch.nan)

    def _forms(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """The fields of a random form per row, [N, F]: in half of the cases the first ones, else those that another row
        gives, or each with a probability that is itself random."""
        n, fields = len(ids), self._category_fields.shape[1]
        counts = self._short_forms[torch.randint(len(self._short_forms), (n, 1))]
        longer = counts + (torch.rand(n, 1) * (fields - counts)).long()
        first = torch.arange(fields) < torch.where(torch.rand(n, 1) < 0.8, counts, longer)
        given = any_field(ids != 0, self._category_names) | any_field(~numbers.isnan(), self._number_fields)
        # A rare model has the id of a missing one.
        given[:, [BRAND, MODEL]] = True
        random = torch.rand(n, fields) < torch.rand(n, 1)
        kind = torch.randint(4, (n, 1))
        return torch.where(kind < 2, first, torch.where(kind == 2, given[torch.randint(n, (n,))], random))


def any_field(rows: Tensor, fields: Tensor) -> Tensor:
    """The product of two logical matrices."""
    return rows.float() @ fields.float() > 0


class Trainer:
    """Probeg's training step: AdamW with gradient clipping and averaged weights."""

    def __init__(self, network: Twin, config: dict[str, Any], steps: int) -> None:
        self.network, self._config, self._steps = network, config, steps
        self._levels = torch.tensor(config["quantiles"], dtype=torch.float32)
        self._optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config["weight_decay"], eps=1e-5, fused=True)
        self.average = {name: weight.detach().clone() for name, weight in network.named_parameters()}
        self._step = 0

    def loss(self, quantiles: Tensor, targets: Tensor) -> Tensor:
        """The mean pinball loss over listings and levels per member: [k]."""
        error = targets[:, None] - quantiles
        return (error * self._levels + functional.relu(-error)).mean((1, 2))

    def step(self, encoded: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> None:
        """Takes one step. Members are independent: the sum of their losses has their gradients."""
        self._step += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._optimizer.zero_grad()
        self.loss(self.network(*encoded), targets).sum().backward()
        self._clip()
        self._optimizer.step()
        decay = min(self._config["ema"], (1 + self._step) / (10 + self._step))
        weights = [weight.detach() for weight in self.network.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1.0 - decay)

    def _rate(self) -> float:
        """Linear warm-up, then a cosine to 0."""
        progress, warmup = self._step / self._steps, self._config["warmup"]
        rising = progress / warmup if progress < warmup else None
        factor = rising or 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))
        return self._config["learning_rate"] * factor

    def _clip(self) -> None:
        """Clips the gradient norm of each parameter per member."""
        for weight in self.network.parameters():
            assert weight.grad is not None
            norm = torch.linalg.vector_norm(weight.grad.flatten(1), dim=1)
            scale = (self._config["gradient_clip"] / (norm + 1e-6)).clamp(max=1.0)
            weight.grad.mul_(scale.view(-1, *[1] * (weight.dim() - 1)))


def main() -> None:
    """Trains on the rows of a file with the configuration of a run and a number of threads; prints JSON."""
    rows_file, config, threads = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(config["seed"])
    data = {name: torch.from_numpy(values) for name, values in numpy.load(rows_file).items()}
    cardinalities = data["cardinalities"].tolist()
    count, size = len(data["train_prices"]), config["batch_size"]
    inputs = Inputs(data, config)
    masks = Masks(data, config)
    network = Twin(config, cardinalities, data["train_numbers"].shape[1])
    trainer = Trainer(network, config, -(-count // size) * config["epochs"])
    mean, deviation = data["train_prices"].mean(), data["train_prices"].std()
    targets = {part: (data[f"{part}_prices"] - mean) / deviation for part in ("train", "validation")}
    epochs = []
    for _ in range(config["epochs"]):
        started = time.monotonic()
        for batch in torch.randperm(count).split(size):
            encoded = inputs.encode(*masks.apply(data["train_ids"][batch], data["train_numbers"][batch]))
            trainer.step(encoded, targets["train"][batch])
        rows_per_second = count / (time.monotonic() - started)
        epochs.append({"rows_per_second": rows_per_second, "validation_loss": validate(trainer, inputs, data, targets)})
    print(json.dumps({"epochs": epochs}))


@torch.no_grad()
def validate(trainer: Trainer, inputs: Inputs, data: dict[str, Tensor], targets: dict[str, Tensor]) -> float:
    """The validation loss of the mean prediction with averaged weights."""
    trainer.network.eval()
    total = 0.0
    for batch in torch.arange(len(targets["validation"])).split(1024):
        encoded = inputs.encode(data["validation_ids"][batch], data["validation_numbers"][batch])
        quantiles = torch.func.functional_call(trainer.network, trainer.average, encoded).mean(0, keepdim=True)
        total += float(trainer.loss(quantiles, targets["validation"][batch])) * len(batch)
    trainer.network.train()
    return total / len(targets["validation"])


if __name__ == "__main__":
    main()
