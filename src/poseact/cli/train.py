"""`poseact train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import tyro
from tyro.conf import Positional, Suppress, arg

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal, complain
from poseact.core.reading import understood


@dataclass(frozen=True)
class Train:
    """Train a model from a recipe; `--section.key value` overrides any of its settings.

    `poseact train --resume RUN` goes on with the run in a folder. `poseact train actions --help` is
    about action classes of your own, `poseact train lifter --help` about the lifter.
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """Name of a recipe (see `poseact recipes`), `actions` or `lifter`; with --resume also a run's
    folder."""
    out: Out = Path("poseact_run")
    """Folder of the run (with --curve, the picture)."""
    resume: bool = False
    """Go on from the folder's checkpoint."""
    tensorboard: bool = False
    """Also write the numbers of log.jsonl for TensorBoard (poseact[tensorboard])."""
    dry_run: bool = False
    """Only open the data, show a batch and make one step in every stage; nothing is written."""
    dev: bool = False
    """Only two steps of every stage on few samples, evaluation, saving and reloading; kept if -o
    says where."""
    find_lr: bool = False
    """Only sweep the learning rate of the first stage, into lr.png and lr.jsonl."""
    curve: bool = False
    """Only draw the course of the run in a folder (several: one after another) into curve.png."""
    overrides: Annotated[tuple[str, ...], Suppress] = ()
    """What `parse` leaves for the recipe."""

    def run(self) -> int:
        if self.curve:
            return self._draw()
        from poseact.train.loop import Stopped, fit, from_json
        from poseact.train.processes import first_process
        from poseact.train.recipes.shipped import recipe

        if self.recipe in ("actions", "lifter"):
            raise ValueError(f"write `poseact train {self.recipe}` first, its options after it")
        note, out = Path(self.recipe, "config.json"), self.out
        if self.resume and note.is_file():
            with understood(note):
                config, out = from_json(note.read_text()), note.parent
        else:
            config = recipe(self.recipe)
        config = tyro.cli(
            tyro.conf.AvoidSubcommands[type(config)],
            default=config,
            args=self.overrides,
            prog=f"poseact train {self.recipe}",
        )
        terminal = Terminal()
        if self.dry_run:
            from poseact.train.dry_run import dry_run

            for line in dry_run(config):
                terminal.say(line)
            return 0
        if self.dev:
            from poseact.train.rehearsal import dev_run

            with TemporaryDirectory() as folder:
                out = Path(folder) if out == Train.out else out
                for line in dev_run(config, out, console=terminal):
                    terminal.say(line)
            return 0
        if self.find_lr:
            from poseact.train.lr_finder import find_lr

            found = find_lr(config, out, console=terminal)
            print(f"the loss falls fastest at {found:.1e}: --stages.0.lr {found:.1e}")
            print(f"look at {out / 'lr.png'} before you believe it")
            return 0
        try:
            path = fit(
                config, out, resume=self.resume, tensorboard=self.tensorboard, console=terminal
            )
        except (Stopped, FloatingPointError, MemoryError) as error:
            if first_process():
                complain(error)
            return 130 if isinstance(error, Stopped) else 2
        if first_process():
            print(path)
        return 0

    def _draw(self) -> int:
        from poseact.media.pictures import write_image
        from poseact.train.curve import training_curve

        runs = (self.recipe, *self.overrides)
        path = Path(self.recipe, "curve.png") if self.out == Train.out else self.out
        write_image(path, training_curve(runs))
        print(path)
        return 0
