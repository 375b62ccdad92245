"""ENAS in the micro space: cells, the network that is built of them, the weights that all share.

Pham, Guan, Zoph, Le and Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML
2018, as Pham et al. 2019 (section 3.4) use it to recognise actions in Enhanced-SPMF pictures. Where
the paper leaves a choice, the authors' released code is followed; docs/enas.md lists the rest.

    picture -> stem -> N normal cells -> reduction -> N normal -> reduction -> N normal -> class

A cell has the outputs of the two cells before it as inputs 0 and 1, and B nodes 2, 3, ..., each the
sum of two operations on earlier ones. Its output is all nodes that no other node uses. Reduction
halves the sides and doubles the channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from poseact.core.reading import read_json, understood
from poseact.models.bounds import check_size

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "identity")
"""In the order of their numbers in an arc; the first two have weights."""
CONVOLUTIONS = 2
_KERNEL = (3, 5)


# ---------------------------------------------------------------------------------------- genotype


class Node(NamedTuple):
    """The sum of two operations (names of `OPERATIONS`) on two earlier values of the cell."""

    input_a: int
    op_a: str
    input_b: int
    op_b: str

    def branches(self) -> tuple[tuple[int, str], tuple[int, str]]:
        return (self.input_a, self.op_a), (self.input_b, self.op_b)


Cell = tuple[Node, ...]


@dataclass(frozen=True)
class Genotype:
    """The two cells of a network. ValueError for an input that does not exist yet, an unknown
    operation, or cells of different size."""

    normal: Cell
    reduction: Cell

    def __post_init__(self) -> None:
        if len(self.normal) != len(self.reduction) or not self.normal:
            raise ValueError(
                "both cells have the same number of nodes, 1 or more, "
                f"got {len(self.normal)} and {len(self.reduction)}"
            )
        for name, cell in (("normal", self.normal), ("reduction", self.reduction)):
            for n, node in enumerate(cell):
                for source, op in node.branches():
                    if op not in OPERATIONS:
                        raise ValueError(f"{name} cell: no operation {op!r} among {OPERATIONS}")
                    if not 0 <= source < n + 2:
                        raise ValueError(
                            f"{name} cell: node {n + 2} has inputs 0 to {n + 1}, got {source}"
                        )

    @property
    def nodes(self) -> int:
        return len(self.normal)

    def arc(self) -> tuple[int, ...]:
        """Four numbers a node (input, operation, input, operation), the normal cell first."""
        return tuple(
            number
            for node in (*self.normal, *self.reduction)
            for source, op in node.branches()
            for number in (source, OPERATIONS.index(op))
        )

    def to_json(self) -> str:
        """`{"normal": [[0, "identity", 1, "sep_conv_3x3"], ...], "reduction": [...]}`."""
        return json.dumps({"normal": self.normal, "reduction": self.reduction})


def genotype_from_arc(arc: Sequence[int]) -> Genotype:
    """The inverse of `Genotype.arc`.

    >>> genotype_from_arc([0, 4, 1, 0] * 2).normal
    (Node(input_a=0, op_a='identity', input_b=1, op_b='sep_conv_3x3'),)
    """
    if len(arc) % 8 or not arc:
        raise ValueError(f"an arc has 8 numbers a node, 4 in each cell; got {len(arc)} numbers")
    if not all(0 <= op < len(OPERATIONS) for op in arc[1::2]):
        raise ValueError(f"operations are numbers 0 to {len(OPERATIONS) - 1}, got {list(arc)}")
    nodes = [
        Node(a, OPERATIONS[op_a], b, OPERATIONS[op_b])
        for a, op_a, b, op_b in zip(arc[::4], arc[1::4], arc[2::4], arc[3::4])
    ]
    return Genotype(tuple(nodes[: len(nodes) // 2]), tuple(nodes[len(nodes) // 2 :]))


def read_genotype(path: str | Path) -> Genotype:
    """A genotype from the file of a search. ValueError names the file and what is wrong in it."""
    with understood(path):
        try:
            table = read_json(path)
            cells = [
                tuple(
                    Node(int(a), str(op_a), int(b), str(op_b)) for a, op_a, b, op_b in table[cell]
                )
                for cell in ("normal", "reduction")
            ]
            return Genotype(*cells)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} is not a genotype, {{normal: [[input, operation, input, operation], ...], "
                f"reduction: [...]}}: {error}"
            ) from error


def random_genotype(nodes: int, generator: torch.Generator) -> Genotype:
    """An architecture drawn evenly: every input and every operation of a node is as likely."""

    def below(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    arc = [
        number
        for _ in range(2)
        for node in range(nodes)
        for _ in range(2)
        for number in (below(node + 2), below(len(OPERATIONS)))
    ]
    return genotype_from_arc(arc)


def loose_ends(cell: Cell) -> tuple[int, ...]:
    """The nodes (from 2 on) that no node of the cell uses; the last is always one.

    Not the released code's: it takes inputs 0 and 1, too, if they are unused.
    """
    used = {source for node in cell for source, _ in node.branches()}
    return tuple(n for n in range(2, len(cell) + 2) if n not in used)


PUBLISHED = genotype_from_arc(
    (
        *(0, 2, 0, 0, 0, 4, 0, 1, 0, 4, 1, 1, 1, 0, 0, 1, 0, 2, 1, 1),
        *(1, 0, 1, 0, 0, 3, 0, 2, 1, 1, 3, 1, 1, 0, 0, 4, 0, 3, 1, 1),
    )
)
"""The cells that the authors of ENAS found on CIFAR-10 (script of the final training)."""


# ------------------------------------------------------------------------------------- the network


@dataclass(frozen=True)
class ENASConfig:
    """blocks: N, normal cells between reductions. channels: C of the first cells, doubled by each
    reduction; the stem has 3 C. drop_path: share of operations dropped in the last cell at the end
    of the training; before it grows with depth and progress. dropout: before the classifier.
    rows: of the picture that the stem reads at once, 3 in the paper. With all rows of an SPMF the
    network convolves over time alone: what stands one above the other there, pairs of joints, are
    neighbours by number only.
    """

    classes: int
    blocks: int = 2
    channels: int = 20
    dropout: float = 0.1
    drop_path: float = 0.4
    rows: int = 3

    def __post_init__(self) -> None:
        if min(self.classes, self.blocks, self.channels, self.rows) < 1:
            raise ValueError(
                "classes, blocks, channels and rows are 1 or more, "
                f"got {self.classes}, {self.blocks}, {self.channels} and {self.rows}"
            )
        check_size(self)

    def widths(self) -> Iterator[tuple[int, bool]]:
        """Channels of each cell, and whether it is a reduction."""
        for stage in range(3):
            if stage:
                yield self.channels << stage, True
            for _ in range(self.blocks):
                yield self.channels << stage, False


class ENASNet(nn.Module):
    """The network of a genotype, for training from scratch. Any picture size.

    `progress` is the share of the training that is over, 0..1; the training sets it.
    """

    def __init__(self, genotype: Genotype, config: ENASConfig) -> None:
        super().__init__()
        self.genotype, self.config, self.progress = genotype, config, 0.0
        self.stem = _stem(config)
        self.cells = nn.ModuleList()
        before, last, halved = 3 * config.channels, 3 * config.channels, False
        for channels, reduction in config.widths():
            cell = FixedCell(genotype, (before, last), channels, reduction, halved)
            self.cells.append(cell)
            before, last, halved = last, cell.channels, reduction
        self.head = _head(last, config)
        self.apply(_he)

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b a"]:
        """Logits."""
        before = last = self.stem(x)
        for cell, keep in zip(self.cells, keeps(self.config, self.progress)):
            before, last = last, cell(before, last, keep)
        return self.head(last)


class FixedCell(nn.Module):
    """One cell of a genotype. `channels`: of its output, those of a node times the loose ends."""

    def __init__(
        self,
        genotype: Genotype,
        inputs: tuple[int, int],
        channels: int,
        reduction: bool,
        halved: bool,
    ) -> None:
        super().__init__()
        self.nodes = genotype.reduction if reduction else genotype.normal
        self.ends = loose_ends(self.nodes)
        self.channels = len(self.ends) * channels
        # A reduction came in between: the first input is twice as large as the second.
        self.fit = _fit(inputs, channels, (halved, False))
        self.ops = nn.ModuleList(
            operation(op, channels, 2 if reduction and source < 2 else 1)
            for node in self.nodes
            for source, op in node.branches()
        )

    def forward(self, before: Tensor, last: Tensor, keep: float) -> Tensor:
        values = [fit(x) for fit, x in zip(self.fit, (before, last))]
        ops = iter(self.ops)
        for node in self.nodes:
            a, b = (
                _dropped(next(ops)(values[source]), op, keep if self.training else 1.0)
                for source, op in node.branches()
            )
            values.append(a + b)
        return torch.cat([values[n] for n in self.ends], 1)


def keeps(config: ENASConfig, progress: float) -> list[float]:
    """The share of operations each cell keeps: 1 - progress (i + 1) / cells * drop_path."""
    cells = 3 * config.blocks + 2
    return [1 - progress * (i + 1) / cells * config.drop_path for i in range(cells)]


def parameters(model: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(p.numel() for p in model.parameters())


def fit_channels(
    genotype: Genotype, blocks: int, target: int, *, classes: int = 8, rows: int = 3
) -> int:
    """The channels C with which the network has the number of parameters nearest to `target`."""

    def count(channels: int) -> int:
        with torch.device("meta"):
            config = ENASConfig(classes, blocks, channels, rows=rows)
            return parameters(ENASNet(genotype, config))

    high = 2
    while count(high) < target:
        high *= 2
    low = 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min(low, high, key=lambda channels: abs(count(channels) - target))


# --------------------------------------------------------------------------------------- its parts


def operation(name: str, channels: int, stride: int = 1, *, tracked: bool = True) -> nn.Module:
    """One of `OPERATIONS`. tracked: see `_norm`."""
    number = OPERATIONS.index(name)
    if number < CONVOLUTIONS:
        return SeparableTwice(channels, _KERNEL[number], stride, tracked)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels, tracked)


class SeparableTwice(nn.Sequential):
    """(ReLU, depthwise, pointwise, batch normalisation) twice; the first one may stride."""

    def __init__(self, channels: int, kernel: int, stride: int, tracked: bool) -> None:
        layers: list[nn.Module] = []
        for step in (stride, 1):
            layers += [
                nn.ReLU(),
                nn.Conv2d(
                    *(channels, channels, kernel, step, kernel // 2), groups=channels, bias=False
                ),
                nn.Conv2d(channels, channels, 1, bias=False),
                _norm(channels, tracked),
            ]
        super().__init__(*layers)


class FactorizedReduction(nn.Module):
    """Half the sides without losing pixels: two 1x1 convolutions, on even and on odd ones."""

    def __init__(self, inputs: int, outputs: int, tracked: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs - outputs // 2, 1, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, bias=False)
        self.norm = _norm(outputs, tracked)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        # Cells are chosen before the convolutions, not by their stride: see `layers.ConvSame`.
        odd = F.pad(x, (0, 1, 0, 1))[..., 1::2, 1::2]
        return self.norm(torch.cat([self.even(x[..., ::2, ::2]), self.odd(odd)], 1))


def _fit(
    inputs: tuple[int, int], channels: int, halve: tuple[bool, bool], *, tracked: bool = True
) -> nn.ModuleList:
    """Brings the inputs of a cell to its channels and, where `halve` says so, to half size."""

    def one(inputs: int, halve: bool) -> nn.Sequential:
        if halve:
            return nn.Sequential(nn.ReLU(), FactorizedReduction(inputs, channels, tracked))
        return nn.Sequential(
            nn.ReLU(), nn.Conv2d(inputs, channels, 1, bias=False), _norm(channels, tracked)
        )

    return nn.ModuleList(one(*both) for both in zip(inputs, halve))


def _norm(channels: int, tracked: bool) -> nn.BatchNorm2d:
    """tracked=False normalises by the batch even in eval mode: the moving averages of shared
    weights would mix architectures and mean nothing to any of them."""
    return nn.BatchNorm2d(channels, track_running_stats=tracked)


def _stem(config: ENASConfig, *, tracked: bool = True) -> nn.Sequential:
    outputs = 3 * config.channels
    above = 1 if config.rows == 3 else 0
    kernel = nn.Conv2d(3, outputs, (config.rows, 3), padding=(above, 1), bias=False)
    return nn.Sequential(kernel, _norm(outputs, tracked))


def _head(channels: int, config: ENASConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(config.dropout),
        nn.Linear(channels, config.classes),
    )


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _dropped(x: Tensor, op: str, keep: float) -> Tensor:
    """Drop-path: the result of an operation as a whole, for some of the pictures."""
    if op == "identity" or keep == 1:
        return x
    return x * torch.empty(len(x), 1, 1, 1, device=x.device).bernoulli_(keep) / keep


# ------------------------------------------------------------------------------- the shared weights


class SharedNet(nn.Module):
    """All networks of the search space in one: an architecture borrows the weights it needs.

    Every (cell, node, branch, input, convolution) has its own; only those that are sampled run, and
    get gradients. Statistics of normalisation are always the batch's. `progress` as in `ENASNet`.
    """

    def __init__(self, nodes: int, config: ENASConfig) -> None:
        super().__init__()
        self.nodes, self.config, self.progress = nodes, config, 0.0
        self.stem = _stem(config, tracked=False)
        self.cells = nn.ModuleList()
        before, last, halved = 3 * config.channels, 3 * config.channels, False
        for channels, reduction in config.widths():
            self.cells.append(SharedCell(nodes, (before, last), channels, reduction, halved))
            before, last, halved = last, channels, reduction
        self.head = _head(last, config)
        self.apply(_he)

    def forward(self, x: Float[Tensor, "b 3 h w"], genotype: Genotype) -> Float[Tensor, "b a"]:
        """Logits of one architecture. ValueError if it has another number of nodes."""
        if genotype.nodes != self.nodes:
            raise ValueError(f"the shared weights have {self.nodes} nodes, not {genotype.nodes}")
        before = last = self.stem(x)
        for cell, keep in zip(self.cells, keeps(self.config, self.progress)):
            before, last = last, cell(before, last, genotype, keep)
        return self.head(last)


class SharedCell(nn.Module):
    """The weights of all cells at one place. A reduction halves its inputs before, not within."""

    def __init__(
        self, nodes: int, inputs: tuple[int, int], channels: int, reduction: bool, halved: bool
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.fit = _fit(inputs, channels, (halved or reduction, reduction), tracked=False)
        self.ops = nn.ModuleDict(
            {
                f"{node}_{branch}_{source}_{op}": operation(op, channels, tracked=False)
                for node in range(2, nodes + 2)
                for branch in range(2)
                for source in range(node)
                for op in OPERATIONS
            }
        )
        self.merge = nn.Parameter(torch.empty(nodes, channels, channels))  # node, out, in
        nn.init.kaiming_normal_(self.merge.view(-1, channels), nonlinearity="relu")
        self.norm = _norm(channels, False)

    def forward(self, before: Tensor, last: Tensor, genotype: Genotype, keep: float) -> Tensor:
        nodes = genotype.reduction if self.reduction else genotype.normal
        values = [fit(x) for fit, x in zip(self.fit, (before, last))]
        for n, node in enumerate(nodes, start=2):
            a, b = (
                _dropped(
                    self.ops[f"{n}_{branch}_{source}_{op}"](values[source]),
                    op,
                    keep if self.training else 1.0,
                )
                for branch, (source, op) in enumerate(node.branches())
            )
            values.append(a + b)
        ends = loose_ends(nodes)
        kernel = torch.cat([self.merge[n - 2] for n in ends], 1)[..., None, None]
        return self.norm(F.conv2d(F.relu(torch.cat([values[n] for n in ends], 1)), kernel))
