"""The command `poseact search`. Heavy imports are inside, as in `cli`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from poseact.data_commands import Out


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
    preset: Literal["small", "paper"] = "small"
    """small: some CPU minutes; paper: size and length of Pham et al. 2019, days on a CPU."""
    validation: Annotated[tuple[str, ...], arg(metavar="SUBJECT")] = ("7", "9")
    """Training subjects who give rewards and choose."""
    random: Annotated[int, arg(metavar="N")] = 0
    """So many random architectures for comparison."""
    controls: bool = False
    """Compare with the cells published by the authors of ENAS, DenseNet-40 and a temporal CNN."""
    seeds: Annotated[int, arg(metavar="N")] = 1
    """Trainings of each, for mean and spread."""
    paper_style_eval: bool = False
    """Also score 21 augmented copies of each test sequence, as the paper seems to."""
    seed: int = 0
    """Of the search."""
    resume: bool = False
    """Go on from the folder's checkpoint."""

    def run(self) -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from poseact.search import SearchConfig, search, small
        from poseact.search_table import PAPER_COPIES, compare

        if self.seeds < 1 or self.random < 0:
            raise ValueError(
                f"--seeds is 1 or more and --random 0 or more, got {self.seeds} and {self.random}"
            )
        start = small if self.preset == "small" else SearchConfig
        config = replace(
            start(self.data, str(self.root), self.subset, seed=self.seed),
            validation=self.validation,
        )
        found = search(config, self.out, resume=self.resume)
        print(found.genotype.to_json())
        table = compare(
            config,
            self.out,
            seeds=self.seeds,
            random=self.random,
            controls=self.controls,
            copies=PAPER_COPIES if self.paper_style_eval else 0,
        )
        print(table.text())
        return 0
