"""The search for an architecture: shared weights and controller alternate, then one is chosen.

Pham, Guan, Zoph, Le and Dean, ICML 2018, sections 2.3 and 3.2, for the pictures of Pham et al.
2019. Rewards and choices come from training subjects who are held out; test subjects are not read
here at all (`search_table` does, once the choice is on disk). docs/enas.md says what differs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from poseact.core.console import SILENT, Console
from poseact.core.files import write_bytes
from poseact.models.enas import (
    ENASConfig,
    ENASNet,
    Genotype,
    SharedNet,
    fit_channels,
    genotype_from_arc,
    loose_ends,
)
from poseact.models.enas_controller import Controller, ControllerConfig
from poseact.models.layers import channels_last
from poseact.skeletons.cells import draw_cells
from poseact.skeletons.classifier import (
    Bank,
    Folds,
    Pictures,
    Split,
    Take,
    Training,
    accuracy,
    as_input,
    class_count,
    cosine,
    descend,
    flat,
    hold_out,
    open_takes,
    optimizer_of,
    seeded,
    set_rate,
    train,
)
from poseact.skeletons.spmf import Augment, SPMFConfig, dataset_bones
from poseact.train.run_folder import Log, RunFolder

_DERIVING, _RETRAINING = 1_000_000, 2_000_000  # where numbers of epochs never get to


@dataclass(frozen=True)
class SearchConfig:
    """A whole search. The defaults are those of the released script of ENAS, with the 200 epochs
    and the size of Pham et al. 2019; `small` is for a few CPU minutes.

    data, root, subset, fold, folds: what `classifier.open_takes` reads. validation: the training
    subjects who give rewards and choose. same_bones: skeletons in space get the mean bones of those
    that are learned from (flat ones keep theirs, which are foreshortened). copies: augmented
    versions of each training picture. fps: of the recordings, for the windows of the classifier
    that is left.

    Shared weights: blocks, channels and rows as in `ENASConfig`; with `whole_columns` the rows are
    all that the pictures have (`fitted`). The rate of `shared` falls as a cosine in rounds of
    restart, 2 restart, 4 restart ... epochs. Controller: after each epoch
    `controller_steps` steps of `controller_samples` architectures, each rewarded with its accuracy
    on one batch of `reward_batch` held-out pictures plus `entropy_weight` times its entropy,
    against a moving average.

    derive: so many architectures are drawn from the controller at the end and rated on the whole
    validation part with shared weights; the best `retrain` of them are trained from scratch by
    `final`, with `final_blocks` and as many channels as give about `parameters` parameters.
    """

    data: str
    root: str
    subset: str = "all"
    fold: int = 1
    fps: float = 15.0
    validation: tuple[str, ...] = ("7", "9")
    pictures: Pictures = field(default_factory=Pictures)
    same_bones: bool = False
    copies: int = 32
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    blocks: int = 2
    channels: int = 20
    dropout: float = 0.1
    drop_path: float = 0.4
    rows: int = 3
    whole_columns: bool = False
    shared: Training = Training(batch=160, lr_min=5e-4, weight_decay=2e-4)
    restart: int = 10
    controller_steps: int = 30
    controller_samples: int = 10
    controller_lr: float = 3.5e-3
    reward_batch: int = 160
    entropy_weight: float = 1e-4
    baseline_decay: float = 0.99
    derive: int = 100
    retrain: int = 3
    final_blocks: int = 3
    final_dropout: float = 0.2
    final: Training = Training()
    parameters: int = 2_300_000
    seed: int = 0
    folds: Folds = "official"

    def __post_init__(self) -> None:
        for name in (
            "copies",
            "restart",
            "controller_samples",
            "reward_batch",
            "derive",
            "retrain",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is 1 or more, got {getattr(self, name)}")

    def open(self, split: Split) -> list[Take]:
        return open_takes(
            self.data, self.root, split, subset=self.subset, fold=self.fold, folds=self.folds
        )

    def note(self) -> dict[str, Any]:
        """For files; what came later is left out at its default, so that older runs go on."""
        note = dataclasses.asdict(self)
        parts = [(note, "folds", "official")]
        parts += [(note[name], "optimizer", "sgd") for name in ("shared", "final")]
        for part, name, default in parts:
            if part[name] == default:
                del part[name]
        return note

    def fitted(self, learned: Sequence[Take]) -> SearchConfig:
        """The same for networks that learn from these takes: their bones, the rows they fill."""
        pictures = self.pictures
        if self.same_bones and not flat(learned):
            bones = dataset_bones((take.poses for take in learned), learned[0].layout)
            pictures = replace(pictures, spmf=replace(pictures.spmf, bones=bones))
        rows = pictures.plain(learned[0]).shape[1] if self.whole_columns else self.rows
        return replace(self, pictures=pictures, rows=rows)

    def shared_net(self, classes: int) -> SharedNet:
        config = ENASConfig(
            *(classes, self.blocks, self.channels, self.dropout, self.drop_path, self.rows)
        )
        return SharedNet(self.controller.nodes, config)

    def final_config(self, genotype: Genotype, classes: int) -> ENASConfig:
        channels = fit_channels(
            genotype, self.final_blocks, self.parameters, classes=classes, rows=self.rows
        )
        return ENASConfig(
            *(classes, self.final_blocks, channels),
            *(self.final_dropout, self.drop_path, self.rows),
        )

    def rate(self, epoch: int) -> float:
        """Learning rate of the shared weights, with warm restarts."""
        start, length = 0, self.restart
        while epoch >= start + length:
            start, length = start + length, 2 * length
        return cosine((epoch - start) / length, self.shared.lr, self.shared.lr_min)


def small(data: str, root: str, subset: str = "all", *, seed: int = 0) -> SearchConfig:
    """For minutes on a CPU: three nodes, and a network that reads whole columns (`rows`), one for
    every moment. All bodies have the same bones, joints go part by part, vectors have length 1,
    nothing is equalised, and skeletons are augmented but not pictures, all chosen by people held
    out of MSR Action3D's training; the controller has no prior and can say more than the released
    one's (docs/enas.md)."""
    return SearchConfig(
        *(data, root, subset),
        pictures=Pictures(
            SPMFConfig(order="parts", orientation="unit", enhance="none"),
            Augment(mirror=0.0, margin=0, reverse=0.0),
        ),
        same_bones=True,
        copies=16,
        controller=ControllerConfig(nodes=3, range=2.5, conv_prior=False),
        blocks=1,
        channels=32,
        dropout=0.3,
        drop_path=0.1,
        whole_columns=True,
        shared=Training(epochs=70, batch=16, lr_min=5e-4, weight_decay=5e-4),
        controller_steps=5,
        controller_samples=4,
        reward_batch=64,
        baseline_decay=0.95,
        derive=50,
        retrain=3,
        final_blocks=1,
        final_dropout=0.3,
        final=Training(epochs=60, batch=32, weight_decay=1e-3, warmup=5, smoothing=0.1),
        parameters=400_000,
        seed=seed,
    )


def tall(data: str, root: str, subset: str = "all", *, seed: int = 0) -> SearchConfig:
    """For more minutes and better answers than `small`: every pair of joints keeps its row of the
    picture, which is equalised as in the paper and 64 px wide, and final trainings take four times
    the steps."""
    config = small(data, root, subset, seed=seed)
    spmf = replace(config.pictures.spmf, enhance="clahe", size=64, keep_rows=True)
    return replace(
        config,
        pictures=replace(config.pictures, spmf=spmf),
        copies=32,
        final=replace(config.final, epochs=120, batch=16, weight_decay=3e-3),
        parameters=600_000,
    )


def paper(data: str, root: str, subset: str = "all", *, seed: int = 0) -> SearchConfig:
    """As Pham et al. 2019 describe it, with about 2.3 M parameters on MSR Action3D, 3 M on SBU."""
    size = 3_000_000 if data == "sbu" else 2_300_000
    return SearchConfig(data, root, subset, parameters=size, seed=seed)


def by_adam(training: Training) -> Training:
    """The same by Adam at 3.5e-4 all along, as Pham et al. 2019 write of candidates."""
    return replace(training, optimizer="adam", lr=3.5e-4, lr_min=3.5e-4)


# -------------------------------------------------------------------------------------- the search


class Candidate(NamedTuple):
    """shared: accuracy on the validation part with shared weights. alone: trained from scratch."""

    genotype: Genotype
    shared: float
    alone: float | None


class Found(NamedTuple):
    """The chosen architecture, and all that were rated, the best by shared weights first."""

    genotype: Genotype
    candidates: list[Candidate]


def search(
    config: SearchConfig, out: str | Path, *, resume: bool = False, console: Console = SILENT
) -> Found:
    """Search in the folder `out`: genotype.json, candidates.json, cells.png, log.jsonl.

    resume goes on from the folder's checkpoint and ends as if it had not been stopped. ValueError
    if the folder holds another run, or one and `resume` is off; what `open_takes` raises.
    """
    folder = RunFolder(Path(out), console=console)
    folder.claim(json.dumps(config.note(), indent=1), resume=resume)
    training = config.open("train")
    classes = class_count(training)
    learned, held = hold_out(training, config.validation)
    config = config.fitted(learned)
    bank = Bank(learned, config.pictures, copies=config.copies, seed=config.seed)
    validation = Bank(held, config.pictures)
    run = Search(config, classes, bank, validation)
    if state := folder.read_checkpoint():
        run.load(state)
    run.alternate(folder)
    if not run.candidates:
        run.derive()
        folder.save_checkpoint(run.state())
    while len(run.alone) < min(config.retrain, len(run.candidates)):
        run.retrain()
        console.say(f"candidate {len(run.alone)}: {run.alone[-1]:.1%} of validation, trained alone")
        folder.save_checkpoint(run.state())
    found = run.found()
    _write(folder.path, found)
    return found


def _write(path: Path, found: Found) -> None:
    table = [
        {"arc": c.genotype.arc(), "shared": c.shared, "alone": c.alone} for c in found.candidates
    ]
    cells = {"normal": found.genotype.normal, "reduction": found.genotype.reduction}
    picture = draw_cells({name: (cell, loose_ends(cell)) for name, cell in cells.items()})
    done, png = cv2.imencode(".png", picture[..., ::-1])
    for name, content in (
        ("candidates.json", json.dumps(table, indent=1).encode()),
        ("cells.png", png.tobytes()),
        ("genotype.json", found.genotype.to_json().encode()),
    ):
        write_bytes(path / name, content)


class Search:
    """The state of a search and its steps. bank: to learn from; validation: for rewards."""

    def __init__(self, config: SearchConfig, classes: int, bank: Bank, validation: Bank) -> None:
        self.config, self.classes = config, classes
        self.bank, self.validation = bank, validation
        with seeded(config.seed):
            self.net = channels_last(config.shared_net(classes))
            self.controller = Controller(config.controller)
        self.net_optimizer = optimizer_of(self.net, config.shared)
        self.optimizer = torch.optim.Adam(
            self.controller.parameters(), config.controller_lr, betas=(0.0, 0.999), eps=1e-3
        )
        self.epoch, self.baseline = 0, float("nan")
        self.candidates: list[tuple[tuple[int, ...], float]] = []
        self.alone: list[float] = []

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in _LEARNING}
        return parts | {name: getattr(self, name) for name in _RESULTS}

    def load(self, state: dict[str, Any]) -> None:
        for name in _LEARNING:
            getattr(self, name).load_state_dict(state[name])
        for name in _RESULTS:
            setattr(self, name, state[name])

    def alternate(self, folder: RunFolder) -> None:
        """The epochs that are left: all training pictures for the shared weights, then the
        controller's steps."""
        log = Log(folder, self.epoch, self.config.shared.epochs)
        while self.epoch < self.config.shared.epochs:
            with seeded(self.config.seed, self.epoch) as rng:
                generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
                rate = self.config.rate(self.epoch)
                loss = self.learn_weights(rate, rng, generator)
                reward = self.learn_controller(rng, generator)
            self.epoch += 1
            log.add({"loss": torch.tensor(loss), "reward": torch.tensor(reward)})
            log.write(self.epoch, "search", rate)
            folder.save_checkpoint(self.state())

    def learn_weights(
        self, rate: float, rng: np.random.Generator, generator: torch.Generator
    ) -> float:
        """One epoch of the shared weights, a new architecture for every batch; the mean loss."""
        self.net.train()
        self.net.progress = self.epoch / self.config.shared.epochs
        set_rate(self.net_optimizer, rate)
        losses = []
        for x, action in self.bank.epoch(self.config.shared.batch, rng):
            with torch.no_grad():
                genotype = self.controller.sample(generator).genotype
            loss = F.cross_entropy(self.net(x, genotype), action)
            descend(self.net_optimizer, loss)
            losses.append(loss.item())
        return float(np.mean(losses))

    def learn_controller(self, rng: np.random.Generator, generator: torch.Generator) -> float:
        """The controller's steps of an epoch; the mean accuracy it was rewarded with."""
        seen: list[float] = []

        def reward(genotype: Genotype) -> float:
            size = min(self.config.reward_batch, len(self.validation))
            rows = torch.from_numpy(rng.permutation(len(self.validation))[:size])
            seen.append(self.rating(genotype, rows))
            return seen[-1]

        for _ in range(self.config.controller_steps):
            self.baseline = reinforce(
                *(self.controller, self.optimizer, reward, self.baseline),
                generator=generator,
                samples=self.config.controller_samples,
                entropy_weight=self.config.entropy_weight,
                decay=self.config.baseline_decay,
            )
        return float(np.mean(seen)) if seen else float("nan")

    @torch.no_grad()
    def rating(self, genotype: Genotype, rows: torch.Tensor) -> float:
        """Accuracy of shared weights on rows of the validation part, one batch."""
        self.net.eval()
        answer = self.net(as_input(self.validation.plain[rows]), genotype).argmax(1)
        return float((answer == self.validation.action[rows]).float().mean())

    def rating_of_all(self, genotype: Genotype) -> float:
        """Accuracy on the whole validation part, in batches of like size."""
        count = -(-len(self.validation) // self.config.reward_batch)
        parts = torch.arange(len(self.validation)).tensor_split(count)
        right = sum(self.rating(genotype, rows) * len(rows) for rows in parts)
        return right / len(self.validation)

    @torch.no_grad()
    def derive(self) -> None:
        """Architectures drawn from the controller, each once, the best rated first."""
        with seeded(self.config.seed, _DERIVING) as rng:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            drawn = [self.controller.sample(generator) for _ in range(self.config.derive)]
        rated = {s.genotype: self.rating_of_all(s.genotype) for s in drawn}
        best = sorted(rated, key=lambda genotype: -rated[genotype])
        self.candidates = [(genotype.arc(), rated[genotype]) for genotype in best]

    def retrain(self) -> None:
        """Train the next candidate from scratch and rate it on the validation part."""
        n = len(self.alone)
        genotype = genotype_from_arc(self.candidates[n][0])
        build = builder(self.config, genotype, self.classes)
        model = train(build, self.bank, self.config.final, seed=self.config.seed + _RETRAINING)
        self.alone.append(accuracy(model, self.validation))

    def found(self) -> Found:
        """The best of the retrained; of equals the one that shared weights rate higher."""
        alone = [*self.alone, *([None] * len(self.candidates))]
        rated = [
            Candidate(genotype_from_arc(arc), shared, value)
            for (arc, shared), value in zip(self.candidates, alone)
        ]
        return Found(rated[int(np.argmax(self.alone))].genotype, rated)


_LEARNING = ("net", "controller", "net_optimizer", "optimizer")
_RESULTS = ("epoch", "baseline", "candidates", "alone")


def builder(config: SearchConfig, genotype: Genotype, classes: int) -> Callable[[], ENASNet]:
    """Makes the final network of a genotype, of the size the configuration asks for."""
    final = config.final_config(genotype, classes)
    return lambda: ENASNet(genotype, final)


def reinforce(
    controller: Controller,
    optimizer: torch.optim.Optimizer,
    reward: Callable[[Genotype], float],
    baseline: float,
    *,
    generator: torch.Generator,
    samples: int = 10,
    entropy_weight: float = 1e-4,
    decay: float = 0.99,
) -> float:
    """One step of REINFORCE on the mean of `samples` architectures; the new baseline.

    The loss of one is -log p times (reward - baseline). A baseline of NaN starts at the first
    reward; not the released code's, where it starts at 0 and for hundreds of samples applauds all.
    """
    losses = []
    for _ in range(samples):
        sampled = controller.sample(generator)
        value = reward(sampled.genotype) + entropy_weight * float(sampled.entropy)
        baseline = value if np.isnan(baseline) else decay * baseline + (1 - decay) * value
        losses.append(-sampled.log_prob * (value - baseline))
    descend(optimizer, torch.stack(losses).mean())
    return baseline
