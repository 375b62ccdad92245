"""The processes of a run: devices, signals, rows gathered from all of them, repeatable numbers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils import _pytree

from poseact.core.console import SILENT, Console
from poseact.models.weights import Network, network
from poseact.train.config import Config

_SUMS = "set_force_sum_reduction_for_comms"
_WHOLE = StateDictOptions(full_state_dict=True)


class Stopped(KeyboardInterrupt):
    """A run that was asked to end and did so after a step; its message says how to go on."""


def open_fabric(config: Config) -> Any:
    """Lightning Fabric, which carries device, precision and data parallelism.

    ValueError if there is no such accelerator here, if the batch normalisation of processes without
    GPUs is to be synchronised, or if they are to share weights with a torch that cannot do it.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import ModelParallelStrategy
    except ImportError:  # the same classes inside the full `lightning` package
        from lightning.fabric import Fabric  # type: ignore[import-not-found]
        from lightning.fabric.strategies import (  # type: ignore[import-not-found]
            ModelParallelStrategy,
        )
    world, strategy = config.devices * config.nodes, "auto"
    if world > 1 and config.strategy == "fsdp":
        strategy = ModelParallelStrategy(
            lambda module, _: module,  # see `shard`
            data_parallel_size=world,
            tensor_parallel_size=1,
        )
    elif world > 1:  # a stage of stills leaves the action heads without a gradient
        strategy = "ddp_find_unused_parameters_true"
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            precision=config.precision,
            strategy=strategy,
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"accelerator {config.accelerator} with {config.devices} devices: {error}"
        ) from error
    if config.sync_batchnorm and fabric.device.type == "cpu":
        raise ValueError("sync_batchnorm needs GPUs; on CPUs each process normalises its own share")
    sharded = isinstance(strategy, ModelParallelStrategy)
    if sharded and fabric.device.type == "cpu" and not hasattr(FSDPModule, _SUMS):
        raise ValueError("strategy fsdp on CPUs needs a newer torch (2.13 does); take auto")
    fabric.launch()
    return fabric


def gather(fabric: Any, rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes in the order of their ranks; n may differ, even be 0.

    With samples rank, rank + world, ... in each process none is missing and none comes twice,
    whether or not their number can be divided by that of the processes.
    """
    if fabric.world_size == 1:
        return rows
    numbers = _from_all(fabric, torch.tensor(len(rows)))
    most = int(max(numbers))
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    everyone = _from_all(fabric, padded)
    return torch.cat([part[: int(n)] for part, n in zip(everyone, numbers)]).to(rows.device)


def _from_all(fabric: Any, value: Tensor) -> list[Tensor]:
    """A tensor of the same shape in all processes, by rank."""
    value = value.to(fabric.device).contiguous()
    found = [torch.empty_like(value) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(found, value)
    return found


def sums_over(fabric: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of numbers by name, of which each process has its portion; the same names in all."""
    if fabric.world_size == 1:
        return values
    return dict(zip(values, fabric.all_reduce(torch.stack([*values.values()]), reduce_op="sum")))


def same_buffers(fabric: Any, module: nn.Module) -> None:
    """The buffers of the first process in all: each tracks batch normalisation of its own share."""
    if fabric.world_size > 1:
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, 0)


# ------------------------------------------------------------------------------- shards (FSDP)


def shard(fabric: Any, *modules: nn.Module) -> None:
    """Each process keeps 1/world of the parameters, if the strategy is FSDP; once in a run.

    Each module is one unit: it is whole from its forward to `reshard`. So processes meet in one
    gathering and one reduction a step, whatever parts and micro-batches their shares have.
    """
    mesh = getattr(fabric.strategy, "device_mesh", None)
    for module in modules:
        if mesh is not None and not isinstance(module, FSDPModule):
            for parameter in module.parameters():  # it refuses kernels with channels last
                parameter.data = parameter.data.contiguous()
            sharded = fully_shard(module, mesh=mesh["data_parallel"], reshard_after_forward=False)
            sharded.set_reshard_after_backward(False)
            if fabric.device.type == "cpu":  # gloo's mean was a sum in some (pytorch issue 162338)
                getattr(sharded, _SUMS)(True)


def reshard(module: nn.Module) -> None:
    """Forget the parameters of the other processes."""
    if isinstance(module, FSDPModule):
        module.reshard()


def whole_state(module: nn.Module) -> dict[str, Any]:
    """The state of a module with whole tensors; if it is sharded all processes must ask."""
    return get_model_state_dict(module, options=_WHOLE) if _sharded(module) else module.state_dict()


def whole_network(fabric: Any, config: Config, model: nn.Module) -> Network:
    """The network itself or, if it is sharded, a whole copy in eval mode; all must ask."""
    if not _sharded(model):
        return cast(Network, model)
    copy = network(config.model).to(fabric.device)
    copy.load_state_dict(whole_state(model))
    return copy.eval()


def fill(module: nn.Module, state: dict[str, Any]) -> None:
    """Load a whole state into a module, which may be sharded."""
    if _sharded(module):
        set_model_state_dict(module, {**state}, options=_WHOLE)  # which changes what it is given
    else:
        module.load_state_dict(state)


# Not `set_optimizer_state_dict`: it makes a first step of zero gradients, after which parameters
# that no gradient has reached yet, and that are not in the file, have a state like all others.


def whole_optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The state of an optimiser with whole tensors; if they are sharded all processes must ask."""
    return _pytree.tree_map_only(DTensor, DTensor.full_tensor, optimizer.state_dict())


def fill_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Load a whole state into an optimiser, whose parameters may be sharded."""
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state["state"].items():
        like = learning[number]
        for name, value in values.items():
            if isinstance(like, DTensor) and value.shape == like.shape:  # all processes have it
                value, mesh = value.to(like.device), like.device_mesh
                values[name] = distribute_tensor(value, mesh, like.placements, src_data_rank=None)
    optimizer.load_state_dict(state)


def _sharded(module: nn.Module) -> bool:
    return isinstance(next(module.parameters()), DTensor)


class Reached:
    """Which parameters have a gradient in any process; without FSDP nobody needs to know.

    Processes reduce the same parameters together. One whose share lacks what teaches some of them
    (clips with a class) adds a zero that hangs on these; those that nothing reaches stay without.
    """

    def __init__(self, fabric: Any, module: nn.Module) -> None:
        self.fabric, self.module = fabric, module
        self.leaves: set[int] = set()

    def loss(self, loss: Tensor, *, last: bool) -> Tensor:
        """The loss of a portion of the step, after the forward; the last one has the zeros."""
        if not isinstance(self.module, FSDPModule):
            return loss
        self.leaves |= {id(leaf) for leaf in _leaves(loss)}
        if not last:
            return loss
        learning = [p for p in self.module.parameters() if p.requires_grad]
        mine = torch.tensor([float(id(p) in self.leaves) for p in learning])
        counts = self.fabric.all_reduce(mine.to(loss.device), reduce_op="sum").tolist()
        elsewhere = [p for p, n in zip(learning, counts) if n and id(p) not in self.leaves]
        return loss + sum((0 * p.sum() for p in elsewhere), loss.new_zeros(()))


def _leaves(loss: Tensor) -> Iterable[Tensor]:
    """The parameters that a loss hangs on."""
    nodes, seen = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]
        if (leaf := getattr(node, "variable", None)) is not None:
            yield leaf


# ------------------------------------------------------------------------------- signals


class Interrupts:
    """While entered, Ctrl-C or SIGTERM only ask for an end; asked again they act as always."""

    def __init__(self, console: Console = SILENT) -> None:
        self.console = console
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # others get no signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        while self.before:
            signal.signal(*self.before.popitem())

    def _ask(self, *_: object) -> None:
        self.asked = True
        self.__exit__()
        self.console.warn("finishing this step; once more stops at once")


def anywhere(fabric: Any, *found: bool) -> list[bool]:
    """Which of these any process found: all of them then do the same after the same step."""
    if fabric.world_size == 1:
        return [*found]
    counts = torch.tensor([float(one) for one in found], device=fabric.device)
    return (fabric.all_reduce(counts, reduce_op="sum") > 0).tolist()


def first_process() -> bool:
    """Whether this process speaks for the run."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not together or torch.distributed.get_rank() == 0


@contextmanager
def deterministic(on: bool) -> Iterator[None]:
    """Inside, torch takes only algorithms that give the same numbers every time, if `on`."""
    if not on:
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
