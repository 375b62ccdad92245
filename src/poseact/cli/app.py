"""The command line, `poseact COMMAND`: what is parsed here is done in other rooms.

Expected errors are one line on stderr and exit status 2; Ctrl-C is 130. Nothing half-written stays.
Heavy imports are inside the commands, so that `poseact --help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, Suppress, arg, subcommand

from poseact.cli.data import Data, Out
from poseact.cli.lift import Lift
from poseact.cli.search import Search
from poseact.cli.unified import UnifiedOptions
from poseact.core.console import complain, progress

EXPECTED = (ValueError, OSError, ImportError)
"""Errors whose message says all that is needed."""

Exit = Annotated[tuple[int, int] | None, arg(metavar="PYRAMID LEVEL")]
Box = Annotated[tuple[float, float, float, float] | None, arg(metavar="X0 Y0 X1 Y1")]


@dataclass(frozen=True)
class Predict:
    """Poses and actions of a picture, folder, glob, video, URL or camera."""

    source: Annotated[Positional[str], arg(metavar="IN")]
    """File, folder, "glob", URL, or the number of a camera."""
    out: Out = Path("poseact_out")
    """Folder for NAME.jsonl and the annotated picture (png) or video (mp4)."""
    weights: str = "spnet-s"
    """A shipped model (see `poseact models`) or a weights file."""
    exit: Exit = None
    """Stop at this prediction block: faster, less exact."""
    box: Box = None
    """Where the person is (at the start), in px. Without it the person is searched for."""
    csv: bool = False
    """Also write NAME.csv."""
    html: bool = False
    """Also write NAME.html, a page to look at the results in."""
    coco: bool = False
    """Also write NAME_coco.json, COCO results."""
    openpose: bool = False
    """Also write the folder NAME_openpose, a JSON file a frame as OpenPose does."""
    trc: bool = False
    """Also write NAME.trc, the 3D joints as markers for OpenSim and the like."""
    video: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the annotated picture or video out."""
    smooth: Annotated[bool, arg(help_behavior_hint="")] = True
    """Leave the poses of a video as they are, not smoothed over time."""
    flip: bool = False
    """Average with the mirror image: a little better, half as fast."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Stop after this many frames of each video (or of a camera)."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1, ...; by default a GPU if there is one."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    model: Literal["network", "unified"] = "network"
    """The network alone; or 2D joints lifted to 3D and their actions (docs/unified.md)."""
    unified: UnifiedOptions = UnifiedOptions()

    def run(self) -> int:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of frames, 1 or more, got {self.limit}")
        import numpy as np

        from poseact.inference.jobs import Wanted, find_jobs, predict_job
        from poseact.inference.predictor import Predictor

        jobs = find_jobs(self.source)
        unified = self.unified.wanted(self.model, len(jobs), box=self.box is not None)

        def network() -> Predictor:
            return Predictor(
                self.weights,
                exit=self.exit,
                device=self.device,
                threads=self.threads,
                flip=self.flip,
                smooth=self.smooth,
                action_set=None if unified else 0,
            )

        predictor = self.unified.pipeline(network, self.device) if unified else network()
        wanted = Wanted(
            drawing=self.video,
            csv=self.csv,
            html=self.html,
            coco=self.coco,
            openpose=self.openpose,
            trc=self.trc,
            limit=self.limit,
        )
        box = None if self.box is None else np.array(self.box)
        failed = 0
        with progress() as bars:
            for job in jobs:

                def watch(seen: Iterable[Any], count: int | None, name: str = job.name) -> Any:
                    return bars.track(seen, total=count, description=name)

                try:
                    files = predict_job(
                        predictor,
                        job,
                        self.out,
                        model="unified" if unified else self.weights,
                        box=box,
                        wanted=wanted,
                        watch=watch,
                    )
                except EXPECTED as error:  # the other files go on
                    complain(error)
                    failed += 1
                else:
                    print(f"{job.source}: {', '.join(map(str, files))}")
        if failed and len(jobs) > 1:
            complain(f"{failed} of {len(jobs)} inputs failed")
        return 2 if failed else 0


@dataclass(frozen=True)
class Doctor:
    """What is installed, on which device it runs, where the weights are."""

    def run(self) -> int:
        from poseact.cli.doctor import diagnose

        rows = diagnose()
        for what, state in rows:
            print(f"{what:24}{state}")
        return 1 if any(state == "MISSING" for _, state in rows) else 0


@dataclass(frozen=True)
class Models:
    """The shipped models, and the weights the authors of the original networks published."""

    def run(self) -> int:
        from poseact.cli.doctor import describe_models
        from poseact.models.original import zoo

        print("\n\n".join(describe_models()) or "no weights are shipped with this installation")
        print("\nPublished by the authors of the original networks; not shipped, never fetched.")
        print(f"Licence: {zoo.LICENCE}.\n")
        print("\n\n".join(zoo.describe()))
        return 0


@dataclass(frozen=True)
class ImportKeras:
    """Weights of the original project (a Keras .h5) as a weights file of this package."""

    source: Annotated[Positional[Path], arg(metavar="FILE")]
    """The Keras file; see `poseact models` for those that were published."""
    out: Out
    """The weights file to write (NAME.safetensors)."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON with the arguments the network was built with. Without it, it is recognised."""
    layout: Annotated[str | None, arg(metavar="NAME")] = None
    """Which joints it has, where the original has no layout of that many."""

    def run(self) -> int:
        from poseact.core.layouts import LAYOUTS
        from poseact.models import weights
        from poseact.models.original.hdf5 import import_file

        model, card = import_file(self.source, config=self.config, layout=self.layout)
        if card.layout not in LAYOUTS:
            raise ValueError(
                f"{self.source} has {model.config.joints} joints, which is no layout of the "
                f"original: say with --layout which they are ({', '.join(LAYOUTS)})"
            )
        weights.save(self.out, model, card)
        actions = "".join(f", {len(names)} actions" for names in card.labels)
        print(f"{self.out}: {card.architecture}, {card.config['dim']}D, {card.layout}{actions}")
        for what, text in card.provenance.items():
            print(f"  {what}: {text}")
        return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on labelled data."""

    weights: str = "spnet-s"
    """A shipped model or a weights file."""
    data: Annotated[str, arg(metavar="KIND")] = "people"
    """people, or a set on disk: lspet, mpii, coco, h36m, mpi_inf_3dhp, penn, ntu, jhmdb, folder."""
    root: Annotated[Path | None, arg(metavar="DIR")] = None
    """Its folder; rendered people need none."""
    protocol: Annotated[str | None, arg(metavar="NAME")] = None
    """How it is scored, see docs/protocols.md; each kind of data has a default."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Which part of it: by default the protocol's."""
    block: Exit = None
    """The prediction block that answers: by default the last."""
    limit: Annotated[int | None, arg(metavar="N")] = None
    """Only so many samples."""
    views: Literal["single", "flip", "multi_crop"] | None = None
    """One crop; that and its mirror image; or five crops and their mirror images (CVPR 2018)."""
    crop: Literal["warp", "original"] | None = None
    """Who cuts the crops: this package, or the steps of the original project, for its weights."""
    step: Annotated[int | None, arg(metavar="N")] = None
    """Every how many frames of a video (of a clip, or of those that are scored)."""
    root_depth: Literal["given", "stature"] | None = None
    """3D: the distance of the root is the true one, or that of an adult of 1.7 m."""
    predicted_box: bool = False
    """Actions: look into the box around poses found in the whole pictures."""
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    """Boxes of penn or folder."""
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """COCO: where the predictions go."""
    preset: Literal["easy", "standard", "hard"] = "standard"
    """How hard the rendered people are."""
    json: bool = False
    """Print JSON rather than a table."""
    device: str = "cpu"
    """Where the network runs."""

    def run(self) -> int:
        from poseact.evaluate.benchmarks import run

        options = {
            "views": self.views,
            "crop": self.crop,
            "step": self.step,
            "root_depth": self.root_depth,
            "predicted_box": self.predicted_box or None,
            "out": self.out,
        }
        found = run(
            self.weights,
            self.data,
            root=self.root,
            protocol=self.protocol,
            split=self.split,
            block=self.block,
            limit=self.limit,
            device=self.device,
            preset=self.preset,
            boxes=self.boxes,
            options={name: value for name, value in options.items() if value is not None},
        )
        print(found.to_json() if self.json else found.table())
        return 0


@dataclass(frozen=True)
class Train:
    """Train a model from a recipe; `--section.key value` overrides any of its settings.

    `poseact train --resume RUN` goes on with the run in a folder. `poseact train actions --help` is
    about action classes of your own.
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """Name of a recipe (see `poseact recipes`), or `actions`; with --resume also a run's folder."""
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
        # Read when torch loads: threads that spin ruin a training as soon as anything else runs.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from poseact.train.loop import Stopped, fit, from_json
        from poseact.train.processes import first_process
        from poseact.train.recipes.shipped import recipe

        if self.recipe == "actions":
            raise ValueError("write `poseact train actions` first, and its options after it")
        note, out = Path(self.recipe, "config.json"), self.out
        if self.resume and note.is_file():
            config, out = from_json(note.read_text()), note.parent
        else:
            config = recipe(self.recipe)
        prog = f"poseact train {self.recipe}"
        config = tyro.cli(
            tyro.conf.AvoidSubcommands[type(config)],
            default=config,
            args=self.overrides,
            prog=prog,
        )
        if self.dry_run:
            from poseact.train.dry_run import dry_run

            for line in dry_run(config):
                print(line, flush=True)
            return 0
        if self.dev:
            from poseact.train.rehearsal import dev_run

            with TemporaryDirectory() as folder:
                for line in dev_run(config, Path(folder) if out == Train.out else out):
                    print(line, flush=True)
            return 0
        if self.find_lr:
            from poseact.train.lr_finder import find_lr

            found = find_lr(config, out)
            print(f"the loss falls fastest at {found:.1e}: --stages.0.lr {found:.1e}")
            print(f"look at {out / 'lr.png'} before you believe it")
            return 0
        try:
            path = fit(config, out, resume=self.resume, tensorboard=self.tensorboard)
        except (Stopped, FloatingPointError, MemoryError) as error:
            if first_process():
                complain(error)
            return 130 if isinstance(error, Stopped) else 2
        if first_process():
            print(path)
        return 0

    def _draw(self) -> int:
        from poseact.media.video import write_image
        from poseact.train.curve import training_curve

        runs = (self.recipe, *self.overrides)
        path = Path(self.recipe, "curve.png") if self.out == Train.out else self.out
        write_image(path, training_curve(runs))
        print(path)
        return 0


@dataclass(frozen=True)
class Recipes:
    """The recipes: network, training, price, data, and the published numbers they are for."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[RECIPE ...]")] = ()
    """Only these; by default all."""

    def run(self) -> int:
        from poseact.train.recipes.shipped import RECIPES, describe

        print("\n\n".join(describe(name) for name in self.names or RECIPES))
        return 0


@dataclass(frozen=True)
class TrainActions:
    """Your own action classes from a folder of clips: root/CLASS/*.mp4, or a folder of pictures a
    clip. No annotation is needed.

    The poses stay those of the base model, only its action heads learn. Some clips of each class
    are held out by their names, or by folders root/train/CLASS and root/test/CLASS, and measured
    once. The same command again uses the boxes in the run's folder, which may be corrected.
    """

    root: Annotated[Path, arg(metavar="DIR")]
    """The folder of clips."""
    out: Out
    """Folder of the run: weights.safetensors, report.json, confusion.png, boxes.csv, ..."""
    data: Literal["folder"] = "folder"
    """How the clips are arranged."""
    weights: str = "spnet-s"
    """The base model: a shipped one or a weights file."""
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    """Where the person is: CSV with the columns clip, x0, y0, x1, y1 and perhaps frame (px). In
    other clips the base model finds the person."""
    fps: float = 25.0
    """Frames a second of folders of pictures; videos say it themselves."""
    passes: int = 8
    """Clips taken from each video, each with another start and crop."""
    steps: int = 250
    """Of the training of the heads."""
    lr: float = 1e-3
    """Their learning rate."""
    mirror: Annotated[bool, arg(help_behavior_hint="")] = True
    """Do not learn from mirror images (as where the classes speak of left and right)."""
    seed: int = 0
    """Of everything random."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, ...; by default a GPU if there is one."""

    def run(self) -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from poseact.train.own.actions import Settings, train_actions

        settings = Settings(
            root=str(self.root),
            weights=self.weights,
            boxes=None if self.boxes is None else str(self.boxes),
            fps=self.fps,
            passes=self.passes,
            steps=self.steps,
            lr=self.lr,
            mirror=self.mirror,
            seed=self.seed,
        )
        report = train_actions(settings, self.out, device=self.device)
        print("\n".join(report.lines()))
        print(f"poseact predict CLIP --weights {self.out / 'weights.safetensors'}")
        return 0


@dataclass(frozen=True)
class Demo:
    """A first look with no data at all: rendered people, poses, actions, a page."""

    out: Out = Path("poseact_demo")
    """Folder for what it makes."""

    def run(self) -> int:
        from poseact.cli.demo import demo

        demo(self.out)
        return 0


Command = (
    Annotated[Predict, subcommand("predict")]
    | Annotated[Lift, subcommand("lift")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Models, subcommand("models")]
    | Annotated[ImportKeras, subcommand("import-keras")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Evaluate, subcommand("eval")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Recipes, subcommand("recipes")]
    | Annotated[Search, subcommand("search")]
    | Annotated[Doctor, subcommand("doctor")]
)
STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)


def parse(args: Sequence[str]) -> Any:
    """The command with its options; SystemExit as argparse has it.

    `train` keeps the options it does not know: they are for its recipe.
    """
    about = "2D and 3D human pose and action recognition from pictures and video."
    if args[:2] == ["train", "actions"]:
        return tyro.cli(TrainActions, prog="poseact train actions", args=args[2:], config=STYLE)
    if args[:1] != ["train"]:
        return tyro.cli(Command, prog="poseact", args=args, config=STYLE, description=about)
    command, rest = tyro.cli(
        Command, prog="poseact", args=args, config=STYLE, return_unknown_args=True
    )
    return replace(command, overrides=tuple(rest))


def main(args: Sequence[str] | None = None) -> int:
    """Run `poseact ARGS` and return its exit status: 0 done, 2 expected error, 130 Ctrl-C."""
    try:
        return parse(list(sys.argv[1:] if args is None else args)).run()
    except SystemExit as stop:  # --help, or options that do not parse: tyro has said why
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # `poseact models | head`: the reader has gone, and that is all right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED as error:
        complain(error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
