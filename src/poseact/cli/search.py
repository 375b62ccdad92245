"""`poseact search`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal


@dataclass(frozen=True)
class Search:
    """Search a network for the Enhanced-SPMF pictures of skeletons (ENAS), then test it once.

    Rewards and the choice come from training subjects who are held out. A search that is there
    already is not repeated: the same command with --resume and more controls adds to its table.
    """

    root: Annotated[Path, arg(metavar="DIR")]
    """The data set: a folder, or an .npz of skeletons."""
    out: Out
    """Folder of the run: genotype.json, cells.png, candidates.json, table.json, table.csv, ..."""
    data: Literal["msr3d", "skeletons", "sbu"] = "msr3d"
    """Which data set it is."""
    subset: Annotated[str, arg(metavar="NAME")] = "all"
    """AS1, AS2 or AS3 of MSR Action3D."""
    fold: Annotated[int, arg(metavar="N")] = 1
    """The fold that is tested, 1 to 5, of SBU."""
    folds: Literal["official", "random"] = "official"
    """SBU's folds: those of the field, or random ones, as Pham et al. 2019 have them."""
    fps: Annotated[float, arg(metavar="HZ")] = 15.0
    """Of the recordings (UTD-MHAD has 30): how fast the classifier that is left reads video."""
    directed: Annotated[tuple[int, ...], arg(metavar="CLASS")] = ()
    """Classes, from 0 on, that no augmentation reverses in time; 0 1 for SBU's approaching
    and departing."""
    preset: Literal["small", "tall", "paper"] = "small"
    """small: some CPU minutes; tall: every pair of joints keeps its row of the picture, and final
    trainings take four times the steps; paper: size and length of Pham et al. 2019, CPU days."""
    candidates: Literal["sgd", "adam"] = "sgd"
    """How networks are trained from scratch: SGD as in the released code of ENAS, or Adam at
    3.5e-4, as Pham et al. 2019 write."""
    controller_lr: Annotated[float | None, arg(metavar="RATE")] = None
    """The controller's; without, 3.5e-3 of the released code (its paper has 3.5e-4)."""
    parameters: Annotated[int | None, arg(metavar="N")] = None
    """About so many in the final network; without, the preset's (paper: 2.3 M, on SBU 3 M)."""
    validation: Annotated[tuple[str, ...], arg(metavar="SUBJECT")] = ("7", "9")
    """Training subjects who give rewards and choose; of SBU pairs (s01-s02) or "fold 2"."""
    random: Annotated[int, arg(metavar="N")] = 0
    """So many random architectures for comparison."""
    controls: tuple[Literal["published", "densenet", "temporal"], ...] = ()
    """Others to compare with: the cells published by the authors of ENAS, DenseNet-40 (one seed,
    slow), a temporal CNN on the joints."""
    seeds: Annotated[int, arg(metavar="N")] = 1
    """Trainings of the searched network, for mean and spread."""
    control_seeds: Annotated[int | None, arg(metavar="N")] = None
    """Trainings of each of the others; as many, if not given."""
    paper_style_eval: bool = False
    """Also score 21 augmented copies of each test sequence: together, as views of one, and one by
    one, as the paper seems to."""
    seed: int = 0
    """Of the search."""
    resume: bool = False
    """Go on from the folder's checkpoint."""

    def run(self) -> int:
        from poseact.skeletons.learn.search import by_adam, paper, search, small, tall
        from poseact.skeletons.learn.search_table import PAPER_COPIES, compare

        if min(self.seeds, self.control_seeds or 1) < 1 or self.random < 0:
            raise ValueError(
                "--seeds and --control-seeds are 1 or more and --random 0 or more, "
                f"got {self.seeds}, {self.control_seeds} and {self.random}"
            )
        start = {"small": small, "tall": tall, "paper": paper}[self.preset]
        config = start(self.data, str(self.root), self.subset, seed=self.seed)
        augment = replace(config.pictures.augment, directed=self.directed)
        config = replace(
            config,
            fold=self.fold,
            folds=self.folds,
            final=by_adam(config.final) if self.candidates == "adam" else config.final,
            controller_lr=self.controller_lr or config.controller_lr,
            parameters=self.parameters or config.parameters,
            fps=self.fps,
            validation=self.validation,
            pictures=replace(config.pictures, augment=augment),
        )
        terminal = Terminal()
        found = search(config, self.out, resume=self.resume, console=terminal)
        print(found.genotype.to_json())
        table = compare(
            config,
            self.out,
            seeds=self.seeds,
            random=self.random,
            controls=self.controls,
            control_seeds=self.control_seeds,
            copies=PAPER_COPIES if self.paper_style_eval else 0,
            console=terminal,
        )
        print(table.text())
        return 0
