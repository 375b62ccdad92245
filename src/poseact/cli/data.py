"""`poseact data ...`: show samples of data sets, check them, pack them, lift them, write some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from poseact.cli.options import Out
from poseact.cli.terminal import Terminal

Kind = Annotated[Positional[str], arg(metavar="KIND")]
Root = Annotated[Positional[Path | None], arg(metavar="ROOT")]


@dataclass(frozen=True)
class Show:
    """A sheet of labelled samples, to see that joints and actions are right."""

    kind: Kind
    """people, or the kind of a data set on disk: lspet, mpii, coco, penn, h36m, folder, ..."""
    root: Root = None
    """Its folder; rendered people need none."""
    out: Out = Path("sheet.png")
    """The picture to write."""
    split: str = "train"
    """train, val, test or all, as far as the data has it."""
    count: int = 24
    """How many samples."""
    spmf: bool = False
    """The Enhanced-SPMF of 3D sequences, class by class, in place of their pictures."""

    def run(self) -> int:
        if self.count < 1:
            raise ValueError(f"--count is a number of samples, 1 or more, got {self.count}")
        from poseact import data
        from poseact.media.pictures import write_image
        from poseact.results.panels import contact_sheet

        records = data.load(
            self.kind, self.root, split=self.split, clips=self.count, console=Terminal()
        )
        if self.spmf:
            from poseact.skeletons.spmf_tiles import spmf_tiles

            tiles, names = spmf_tiles(self.kind, self.root, records, self.count)
        else:
            from poseact.data.tiles import sample_tiles

            tiles, names = sample_tiles(self.kind, self.root, records, self.count)
        write_image(self.out, contact_sheet(tiles, 6, labels=names))
        print(f"{len(tiles)} {'pictures' if self.spmf else 'samples'}: {self.out}")
        return 0


@dataclass(frozen=True)
class Check:
    """Say what a data set holds and what is wrong with it; exit status 1 if training would fail."""

    kind: Kind
    """lspet, mpii, coco, penn, h36m, ntu, folder, packed, ... or people."""
    root: Root = None
    """Its folder; rendered people need none."""
    splits: tuple[str, ...] = ("train", "val", "test")
    """Which parts; those that the data set does not have are named and left out."""
    full: bool = False
    """Open every picture, not a sample."""

    def run(self) -> int:
        from poseact import data
        from poseact.data.check import check

        terminal = Terminal()
        splits = data.load_splits(self.kind, self.root, self.splits, console=terminal)
        with terminal.bar("checking", sum(map(len, splits.values())), unit="records") as advance:
            report = check(splits, full=self.full, progress=advance)
        print("\n".join(report.lines()))
        return 1 if report.fatal else 0


@dataclass(frozen=True)
class Convert:
    """Pack a split into one index and large shards of JPEG, which read at full loader speed."""

    kind: Kind
    """The kind of the data set on disk, or people."""
    root: Root
    """Its folder."""
    out: Out
    """Folder of the packed set; the same command goes on where it was stopped."""
    split: str | None = None
    """Which part: by default train; of ntu all, to be read in place of the original."""
    size: Annotated[int | None, arg(metavar="PX")] = None
    """Longest side of a stored picture; of ntu 341, which has 256 px for the crops of training."""
    margin: float | None = None
    """Store only the person's box times this; of ntu 2, room for turning and enlarging 1.5."""
    quality: int = 90
    """Of the JPEGs."""
    workers: int = 1
    """Processes."""

    def run(self) -> int:
        from poseact import data
        from poseact.data.pack import pack, verify

        terminal = Terminal()
        split, size, margin = self.split or "train", self.size, self.margin
        if self.kind == "ntu":
            split, size, margin = self.split or "all", size or 341, margin or 2.0
        records = data.load(self.kind, self.root, split=split, console=terminal)
        with terminal.bar("packing", len(records), unit="records") as advance:
            folder = pack(
                records,
                self.out,
                split=split,
                size=size,
                margin=margin,
                quality=self.quality,
                workers=self.workers,
                progress=advance,
            )
        faults = verify(self.out, split)
        if faults:
            raise ValueError(f"{folder}: {faults[0]} ({len(faults)} faults); pack it again")
        print(f"{len(records)} records: {folder}")
        return 0


@dataclass(frozen=True)
class LiftPictures:
    """Skeletons from the pictures of a set of skeletons: detector and lifter for the Kinect."""

    kind: Annotated[Positional[Literal["sbu"]], arg(metavar="KIND")]
    """sbu, as downloaded."""
    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Its folder."""
    out: Out
    """Folder of the lifted set, in the form of the original; the same command goes on where it was
    stopped."""
    weights: str = "spnet-s"
    """Who finds 2D joints: a shipped model or a weights file."""
    lifter: str = "lifter"
    """The shipped lifter, or the weights file of another."""
    device: str | None = None
    """Where the network runs."""

    def run(self) -> int:
        from poseact.data.sets import sbu
        from poseact.inference.predictor import Predictor
        from poseact.models.weights import load_lifter
        from poseact.skeletons.learn.sbu_pictures import lift_sbu

        count = len(sbu.load(self.root, "all")) // 2
        poses = Predictor(self.weights, device=self.device, people=2, action_set=None)
        with Terminal().bar("lifting", count, unit="sequences") as advance:
            done = lift_sbu(
                self.root, self.out, poses, load_lifter(self.lifter).model, progress=advance
            )
        for source in done.left_out:
            print(f"{source} is left out: two people were not found in it")
        print(f"{done.written + done.there} sequences: {self.out}")
        return 0


@dataclass(frozen=True)
class Write:
    """Write rendered people in the folder form of a data set, to try a pipeline before its data."""

    form: Annotated[
        Positional[Literal["penn", "mpii", "h36m", "ntu", "folder"]], arg(metavar="KIND")
    ]
    """Whose form: Penn Action's, MPII's (HRNet's files), Human3.6M's (mmpose's files), NTU RGB+D's,
    or a folder of clips a class."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The folder to make."""
    source: Annotated[Literal["people"], arg(name="from")] = "people"
    """What is written: rendered people."""
    clips: tuple[int, int, int] = (200, 40, 40)
    """Clips of train, val and test (MPII has no test; Human3.6M and NTU have no val)."""
    frames: int = 16
    """Of each clip."""
    fps: float = 12.0
    """Of each clip."""
    size: Annotated[int, arg(metavar="PX")] = 192
    """Side of the pictures."""
    preset: Literal["easy", "standard", "hard"] = "standard"
    """How hard they are."""
    actions: tuple[str, ...] = ()
    """Only these."""
    seed: int = 0
    """Other people."""
    workers: int = 1
    """Rendering processes."""

    def run(self) -> int:
        from poseact.data.write import write_people
        from poseact.people.motions import ACTIONS
        from poseact.people.scene import PeopleConfig

        people = PeopleConfig(
            height=self.size,
            width=self.size,
            frames=self.frames,
            fps=self.fps,
            preset=self.preset,
            seed=self.seed,
            actions=self.actions or ACTIONS,
        )
        counts: dict[str, int] = dict(zip(("train", "val", "test"), self.clips, strict=True))
        terminal = Terminal()
        with terminal.bar("writing", sum(self.clips), unit="clips") as advance:
            write_people(
                self.form,
                self.out,
                counts,
                people,
                workers=self.workers,
                console=terminal,
                progress=advance,
            )
        print(self.out)
        return 0


@dataclass(frozen=True)
class Data:
    """Show samples of data sets, check them, pack them, lift them, write some."""

    what: (
        Annotated[Show, subcommand("show")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Convert, subcommand("convert")]
        | Annotated[LiftPictures, subcommand("lift")]
        | Annotated[Write, subcommand("write")]
    )

    def run(self) -> int:
        return self.what.run()
