"""The controller of ENAS: a recurrent network that writes architectures, choice by choice.

Pham, Guan, Zoph, Le and Dean, ICML 2018, sections 2.2 and 2.4, as their released code has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseact.models.enas import CONVOLUTIONS, OPERATIONS, Genotype, genotype_from_arc


class Sampled(NamedTuple):
    """An architecture, the logarithm of its probability, and the sum of its choices' entropies."""

    genotype: Genotype
    log_prob: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class ControllerConfig:
    """nodes: B. Logits become range * tanh(logit / temperature), those of operations with a range
    `op_reduce` times smaller. conv_prior: as in the released code, the normal cell prefers
    convolutions (+0.25, the others -0.25), and both start from an offset of 10 for them."""

    nodes: int = 5
    hidden: int = 64
    range: float = 1.1
    op_reduce: float = 2.5
    temperature: float = 1.0
    conv_prior: bool = True


class Controller(nn.Module):
    """An LSTM that writes architectures: per node two inputs, by attention to the nodes that are
    there, then two operations; the reduction cell goes on where the normal one ended."""

    prior: Tensor

    def __init__(self, config: ControllerConfig) -> None:
        super().__init__()
        size, ops = config.hidden, len(OPERATIONS)
        self.config = config
        self.lstm = nn.LSTMCell(size, size, bias=False)
        self.start = nn.Parameter(torch.empty(1, size))
        self.op_embedding = nn.Parameter(torch.empty(ops, size))
        self.op_logits = nn.Linear(size, ops)
        self.key = nn.Linear(size, size, bias=False)
        self.query = nn.Linear(size, size, bias=False)
        self.attention = nn.Linear(size, 1, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
        convolution = torch.arange(ops) < CONVOLUTIONS
        self.op_logits.bias.data = torch.where(convolution, 10.0, 0.0) * config.conv_prior
        self.register_buffer("prior", torch.where(convolution, 0.25, -0.25) * config.conv_prior)

    def sample(self, generator: torch.Generator) -> Sampled:
        """An architecture drawn with the controller's probabilities."""

        def draw(logits: Tensor) -> int:
            return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))

        return self._write(draw)

    def rate(self, genotype: Genotype) -> Sampled:
        """Log-probability and entropies of a given architecture."""
        choices = iter(self._order(genotype))
        return self._write(lambda _: next(choices))

    @staticmethod
    def _order(genotype: Genotype) -> Iterator[int]:
        """The numbers of an arc in the order of writing: inputs of a node, then its operations."""
        arc = genotype.arc()
        for i in range(0, len(arc), 4):
            yield from (arc[i], arc[i + 2], arc[i + 1], arc[i + 3])

    def _write(self, choose: Callable[[Tensor], int]) -> Sampled:
        log_probs, entropies = [], []

        def note(logits: Tensor) -> int:
            choice, log_prob = choose(logits), logits.log_softmax(-1)
            log_probs.append(log_prob[choice])
            entropies.append(-(log_prob.exp() * log_prob).sum().detach())
            return choice

        state = self.start.new_zeros(2, 1, self.config.hidden)
        arc: list[int] = []
        for prior in (self.prior, torch.zeros_like(self.prior)):
            cell, state = self._write_cell(state, prior, note)
            arc += cell
        total, entropy = torch.stack(log_probs).sum(), torch.stack(entropies).sum()
        return Sampled(genotype_from_arc(arc), total, entropy)

    def _write_cell(
        self, state: Tensor, prior: Tensor, choose: Callable[[Tensor], int]
    ) -> tuple[list[int], Tensor]:
        arc, anchors, keys = [], [], []
        for _ in range(2):
            state = self._step(self.start, state)
            anchors.append(torch.zeros_like(state[0]))
            keys.append(self.key(state[0]))
        for _ in range(self.config.nodes):
            x, inputs, ops = self.start, [], []
            for _ in range(2):
                state = self._step(x, state)
                logits = self.attention(torch.tanh(torch.cat(keys) + self.query(state[0])))[:, 0]
                inputs.append(choose(self._shaped(logits, self.config.range)))
                x = anchors[inputs[-1]]
            for _ in range(2):
                state = self._step(x, state)
                logits = self._shaped(
                    self.op_logits(state[0])[0], self.config.range / self.config.op_reduce
                )
                ops.append(choose(logits + prior))
                x = self.op_embedding[ops[-1]][None]
            state = self._step(x, state)
            anchors.append(state[0])
            keys.append(self.key(state[0]))
            arc += [inputs[0], ops[0], inputs[1], ops[1]]
        return arc, state

    def _step(self, x: Tensor, state: Tensor) -> Tensor:
        return torch.stack(self.lstm(x, (state[0], state[1])))

    def _shaped(self, logits: Tensor, limit: float) -> Tensor:
        return limit * torch.tanh(logits / self.config.temperature)
