"""`poseact data ...`: look at data sets, check them, pack them, write some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

from poseact.core.console import complain, progress

if TYPE_CHECKING:
    from poseact.core.types import Record

Out = Annotated[Path, arg(aliases=["-o"])]
Kind = Annotated[Positional[str], arg(metavar="KIND")]
Root = Annotated[Positional[Path | None], arg(metavar="ROOT")]

_SPMF_PX = 128  # of a picture on the sheet; networks see 32


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
        from poseact.media.video import write_image
        from poseact.results.drawing import contact_sheet

        records = data.load(self.kind, self.root, split=self.split, clips=self.count)
        if self.spmf:
            tiles, names = _spmf_tiles(self.kind, self.root, records, self.count)
            write_image(self.out, contact_sheet(tiles, 6, labels=names))
            print(f"{len(tiles)} pictures: {self.out}")
            return 0
        records = records[:: max(1, len(records) // self.count)][: self.count]
        if not records or records[0].frame is None:
            raise ValueError(
                f"{self.root}: {len(records)} records of {self.kind}, without pictures"
            )
        tiles, names = zip(*(_tile(record) for record in records))
        write_image(self.out, contact_sheet(tiles, 6, labels=names))
        print(f"{len(tiles)} samples: {self.out}")
        return 0


def _tile(record: Record) -> tuple[Any, str]:
    """The middle frame of a record with its joints, and what it shows."""
    import numpy as np

    from poseact.core.types import Person, Result
    from poseact.people.motions import ACTIONS
    from poseact.results.drawing import draw_people

    t = len(record) // 2
    rgb = np.empty((0, 0, 3), np.uint8) if record.frame is None else record.frame(t)
    seen = np.isfinite(record.xy[t]).all(-1)
    box = np.full(4, np.nan) if record.box is None else record.box[t]
    person = Person(record.xy[t], None, seen.astype(float), box, record.layout)
    rendered = record.source == "people" and record.action is not None
    name = ACTIONS[record.action or 0] if rendered else record.source
    return draw_people(rgb, Result(t, 0.0, (person,))), name


def _spmf_tiles(
    kind: str, root: Path | None, records: Sequence[Record], count: int
) -> tuple[list[Any], list[str]]:
    """SPMF pictures and class names: the first of every class, then the second, until enough."""
    import numpy as np

    from poseact.core.layouts import SBU15
    from poseact.core.types import NO_ACTION
    from poseact.data.sets.skeletons import pairs
    from poseact.skeletons.spmf import SPMFConfig, spmf

    if not records or any(record.xyz is None for record in records):
        raise ValueError(f"{root}: {kind} has {len(records)} records, not all of them with 3D")
    two = records[0].layout == SBU15
    classes: dict[int, list[tuple[Record, ...]]] = {}
    for people in pairs(records) if two else zip(records):
        action = NO_ACTION if people[0].action is None else people[0].action
        classes.setdefault(action, []).append(people)
    turns = sorted((n, action) for action, found in classes.items() for n in range(len(found)))
    names = _class_names(kind, root, two=two)
    tiles, labels = [], []
    for action, n in sorted((action, n) for n, action in turns[:count]):
        people = classes[action][n]
        xyz = np.stack([np.asarray(record.xyz) for record in people], 1)  # T P J 3
        if np.isnan(xyz[..., 2]).all():
            xyz[..., 2] = 0  # skeletons of two axes
        try:
            tiles.append(spmf(xyz, people[0].layout, config=SPMFConfig(size=_SPMF_PX)))
        except ValueError as error:
            raise ValueError(f"{people[0].source}: {error}") from error
        labels.append(names[action] if 0 <= action < len(names) else people[0].source)
    return tiles, labels


def _class_names(kind: str, root: Path | None, *, two: bool) -> tuple[str, ...]:
    """In the order of `Record.action`; none where the data set has none."""
    from importlib import import_module

    from poseact.data import READERS
    from poseact.data.sets import sbu, skeletons

    if two:
        return sbu.ACTIONS
    if kind == "skeletons" and root is not None:
        return skeletons.label_names(root)
    module = "people.motions" if kind == "people" else f"data.{READERS[kind]}"
    return getattr(import_module(f"poseact.{module}"), "ACTIONS", ())


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
        from poseact.data.check import check

        splits = self._load()
        with progress() as bars:
            task = bars.add_task("checking", total=sum(map(len, splits.values())))
            report = check(splits, full=self.full, progress=lambda n: bars.advance(task, n))
        print("\n".join(report.lines()))
        return 1 if report.fatal else 0

    def _load(self) -> dict[str, Sequence[Record]]:
        from poseact import data

        found: dict[str, Sequence[Record]] = {}
        refused: list[Exception] = []
        for split in self.splits:
            try:
                found[split] = data.load(self.kind, self.root, split=split)
            except (ValueError, FileNotFoundError) as error:
                refused.append(error)
        if not found:
            raise refused[0]
        for error in refused:
            complain(error)
        return found


@dataclass(frozen=True)
class Convert:
    """Pack a split into one index and large shards of JPEG, which read at full loader speed."""

    kind: Kind
    """The kind of the data set on disk, or people."""
    root: Root
    """Its folder."""
    out: Out
    """Folder of the packed set; the same command goes on where it was stopped."""
    split: str = "train"
    """Which part."""
    size: Annotated[int | None, arg(metavar="PX")] = None
    """Longest side of a stored picture."""
    margin: float | None = None
    """Store only the person's box times this."""
    quality: int = 90
    """Of the JPEGs."""
    workers: int = 1
    """Processes."""

    def run(self) -> int:
        from poseact import data
        from poseact.data.pack import pack, verify

        records = data.load(self.kind, self.root, split=self.split)
        with progress() as bars:
            task = bars.add_task("packing", total=len(records))
            folder = pack(
                records,
                self.out,
                split=self.split,
                size=self.size,
                margin=self.margin,
                quality=self.quality,
                workers=self.workers,
                progress=lambda n: bars.advance(task, n),
            )
        faults = verify(self.out, self.split)
        if faults:
            raise ValueError(f"{folder}: {faults[0]} ({len(faults)} faults); pack it again")
        print(f"{len(records)} records: {folder}")
        return 0


@dataclass(frozen=True)
class Write:
    """Write rendered people in the folder form of a data set, to try a pipeline before its data."""

    form: Annotated[Positional[Literal["penn", "mpii", "folder"]], arg(metavar="KIND")]
    """Whose form: Penn Action's, MPII's (HRNet's files), or a folder of clips a class."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """The folder to make."""
    source: Annotated[Literal["people"], arg(name="from")] = "people"
    """What is written: rendered people."""
    clips: tuple[int, int, int] = (200, 40, 40)
    """Clips of train, val and test (MPII has no test)."""
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
        with progress() as bars:
            task = bars.add_task("writing", total=sum(self.clips))
            write_people(
                self.form,
                self.out,
                counts,
                people,
                workers=self.workers,
                progress=lambda n: bars.advance(task, n),
            )
        print(self.out)
        return 0


@dataclass(frozen=True)
class Data:
    """Look at data sets, check them, pack them, write some."""

    what: (
        Annotated[Show, subcommand("show")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Convert, subcommand("convert")]
        | Annotated[Write, subcommand("write")]
    )

    def run(self) -> int:
        return self.what.run()
