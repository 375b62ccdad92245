"""`poseact data ...`: look at data sets, check them, pack them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg, subcommand

from poseact.console import complain, progress

if TYPE_CHECKING:
    from poseact.types import Record

Out = Annotated[Path, arg(aliases=["-o"])]
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

    def run(self) -> int:
        if self.count < 1:
            raise ValueError(f"--count is a number of samples, 1 or more, got {self.count}")
        from poseact import data
        from poseact.draw import contact_sheet
        from poseact.video import write_image

        records = data.load(self.kind, self.root, split=self.split, clips=self.count)
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

    from poseact.draw import draw_people
    from poseact.people.motions import ACTIONS
    from poseact.types import Person, Result

    t = len(record) // 2
    rgb = np.empty((0, 0, 3), np.uint8) if record.frame is None else record.frame(t)
    seen = np.isfinite(record.xy[t]).all(-1)
    box = np.full(4, np.nan) if record.box is None else record.box[t]
    person = Person(record.xy[t], None, seen.astype(float), box, record.layout)
    rendered = record.source == "people" and record.action is not None
    name = ACTIONS[record.action or 0] if rendered else record.source
    return draw_people(rgb, Result(t, 0.0, (person,))), name


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
        refused: list[ValueError] = []
        for split in self.splits:
            try:
                found[split] = data.load(self.kind, self.root, split=split)
            except ValueError as error:
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
class Data:
    """Look at data sets, check them, pack them."""

    what: (
        Annotated[Show, subcommand("show")]
        | Annotated[Check, subcommand("check")]
        | Annotated[Convert, subcommand("convert")]
    )

    def run(self) -> int:
        return self.what.run()
