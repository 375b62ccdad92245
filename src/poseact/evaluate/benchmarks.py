"""Benchmarks under their published protocols: one function each, its paper named, one result type.

Every function takes a network in eval mode, its card and the records of a data set, and gives
`Scores`. The last block answers. For another one give `model.cut(...)`: which block it is, is the
caller's choice, never that of a score on the test set. People are cropped by their records'
boxes, grown by `Card.margin`. A joint that the network's layout lacks does not count, and a note
says so. `PROTOCOLS` names the functions, `run` is what `poseact eval` calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from poseact import data
from poseact.core.console import SILENT, Console
from poseact.core.layouts import PA17, PA20, layout_named
from poseact.core.types import Record
from poseact.data.sets import deephar, folder
from poseact.evaluate import actions, poses_3d
from poseact.evaluate.actions import (
    folder_single_clip,
    jhmdb_single_clip,
    ntu_kinect,
    ntu_multi_clip,
    ntu_released,
    ntu_single_clip,
    penn_annotated,
    penn_multi_clip,
    penn_released,
    penn_single_clip,
)
from poseact.evaluate.poses import (
    Crops,
    coco_oks_ap,
    jhmdb_pck,
    mpii_pckh,
    mpii_pckh_in_crop,
    mpii_predictions,
    pck_torso,
)
from poseact.evaluate.poses_3d import h36m_p1, h36m_p2, mpi_inf_3dhp_pck3d
from poseact.evaluate.scores import Scores
from poseact.evaluate.views import VIEWS, Report, evaluate
from poseact.inference.procedures import ClipProtocol, straight_crop
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.weights import Card
from poseact.people.config import PeopleConfig, Preset

__all__ = [
    "PROTOCOLS",
    "Benchmark",
    "ClipProtocol",
    "Crops",
    "Scores",
    "coco_oks_ap",
    "find",
    "folder_single_clip",
    "h36m_p1",
    "h36m_p2",
    "jhmdb_pck",
    "jhmdb_single_clip",
    "mpi_inf_3dhp_pck3d",
    "mpii_pckh",
    "mpii_pckh_in_crop",
    "mpii_predictions",
    "ntu_kinect",
    "ntu_multi_clip",
    "ntu_released",
    "ntu_single_clip",
    "pck_torso",
    "penn_annotated",
    "penn_multi_clip",
    "penn_released",
    "penn_single_clip",
    "run",
]

PEOPLE_CLIPS = 250
CROPS = {"warp": straight_crop, "original": deephar.crop}
"""Who cuts the crops: our one warp, or the original project's steps, for its weights."""


@dataclass(frozen=True)
class Benchmark:
    """A protocol on a data set.

    how: the crops or clips that `score` takes by default, if it takes any; others: what else it
    takes beside network, card and records. split: the part it is for. reader: options of the set's
    `load`.
    """

    score: Callable[..., Scores | Report]
    how: Crops | ClipProtocol | None
    split: str = "test"
    reader: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the network's crops or clips that may be set."""
        how = () if self.how is None else tuple(f.name for f in fields(self.how))
        return (*how, *self.others)

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options as keyword arguments of `score`; ValueError for one that it has not."""
        strange = [name for name in options if name not in self.options]
        if strange:
            raise ValueError(
                f"this protocol has no option {strange[0]!r}; it has {', '.join(self.options)}"
            )
        plain = {name: value for name, value in options.items() if name in self.others}
        if self.how is None:
            return plain
        named = {"views": VIEWS, "crop": CROPS}
        inner = {n: named.get(n, {}).get(v, v) for n, v in options.items() if n not in plain}
        return {**plain, "how": replace(self.how, **inner)}


def _ntu() -> dict[str, Benchmark]:
    protocols = {
        "cross-subject": {"protocol": "cross_subject", "classes": 60},
        "cross-view": {"protocol": "cross_view", "classes": 60},
        "cross-subject-120": {"protocol": "cross_subject", "classes": 120},
        "cross-setup-120": {"protocol": "cross_setup", "classes": 120},
    }
    return {
        **{
            name: Benchmark(ntu_single_clip, actions.NTU, reader=split)
            for name, split in protocols.items()
        },
        **{
            f"{name}-multi-clip": Benchmark(ntu_multi_clip, actions.NTU, reader=split)
            for name, split in protocols.items()
        },
        "cross-subject-kinect": Benchmark(
            ntu_kinect, actions.NTU_GIVEN, reader=protocols["cross-subject"]
        ),
        "cross-subject-released": Benchmark(
            ntu_released,
            actions.NTU_RELEASED,
            reader={**protocols["cross-subject"], "step": 2},
        ),
    }


_COMMON = Benchmark(evaluate, None, others=("views",))
_ROOT = ("root_depth",)

PROTOCOLS: dict[str, dict[str, Benchmark]] = {
    "people": {"common": _COMMON},
    "lspet": {
        "common": replace(_COMMON, split="val"),
        "pck": Benchmark(pck_torso, Crops(), "val"),
    },
    "mpii": {
        "pckh": Benchmark(mpii_pckh, Crops(), "val"),
        "pckh-in-crop": Benchmark(mpii_pckh_in_crop, Crops(), "val"),
        "predictions": Benchmark(mpii_predictions, Crops(), others=("out",)),
    },
    "coco": {"oks-ap": Benchmark(coco_oks_ap, Crops(), "val", others=("out",))},
    "h36m": {
        "p1": Benchmark(h36m_p1, poses_3d.ONE_IN_64, others=_ROOT),
        "p2": Benchmark(h36m_p2, poses_3d.ONE_IN_64, others=_ROOT),
    },
    "mpi_inf_3dhp": {"pck3d": Benchmark(mpi_inf_3dhp_pck3d, poses_3d.EVERY_FRAME, others=_ROOT)},
    "penn": {
        "single-clip": Benchmark(penn_single_clip, actions.PENN),
        "multi-clip": Benchmark(penn_multi_clip, actions.PENN),
        "multi-clip-annotated": Benchmark(penn_annotated, actions.PENN_GIVEN),
        "released": Benchmark(penn_released, actions.PENN_RELEASED),
        "pck-torso": Benchmark(pck_torso, Crops()),
    },
    "ntu": _ntu(),
    "jhmdb": {
        "pck": Benchmark(jhmdb_pck, Crops()),
        "single-clip": Benchmark(jhmdb_single_clip, actions.EVERY_FRAME),
    },
    "folder": {"single-clip": Benchmark(folder_single_clip, actions.EVERY_FRAME)},
    "packed": {"common": _COMMON},
}
"""Kind of data -> name of a protocol -> what is scored. The first one is the kind's default."""

_UNSCORED = {
    "nobody": "nobody is in the pictures, there is nothing to score",
    "pseudo": "labels of other networks are to learn from; lspet has photos labelled by people",
    "clips": "no joints are annotated; `poseact eval --data folder` scores actions of own clips",
}
"""Kinds of data that only train, and why."""
_SKELETONS = ("msr3d", "sbu", "skeletons")


def find(kind: str, protocol: str | None = None) -> tuple[str, Benchmark]:
    """A protocol of a kind of data and its name, by default the kind's first.

    ValueError names what there is; it also says which kinds have no pictures.
    """
    if kind in _SKELETONS:
        raise ValueError(
            f"{kind} has skeletons and no pictures: it is scored with a skeleton model, and "
            "`poseact eval` scores networks that read pictures"
        )
    if kind in _UNSCORED:
        raise ValueError(f"{kind}: {_UNSCORED[kind]}")
    if kind not in PROTOCOLS:
        raise ValueError(f"unknown data set {kind!r}; there are {', '.join(PROTOCOLS)}")
    known = PROTOCOLS[kind]
    name = next(iter(known)) if protocol is None else protocol
    if name not in known:
        raise ValueError(f"{kind} has the protocols {', '.join(known)}; got {name!r}")
    return name, known[name]


def run(
    name_or_path: str | Path,
    kind: str,
    *,
    root: str | Path | None = None,
    protocol: str | None = None,
    split: str | None = None,
    block: tuple[int, int] | None = None,
    limit: int | None = None,
    device: str = "cpu",
    preset: Preset = "standard",
    boxes: str | Path | None = None,
    by_name: bool = False,
    options: Mapping[str, Any] | None = None,
    console: Console = SILENT,
) -> Scores | Report:
    """Load weights and a data set and score them; what `poseact eval` calls.

    protocol, split: the kind's default if None. block: the (pyramid, level) that answers, else the
    last. The crop's margin is that of the kind of data in training, the step of a clip's frames
    that of the card. limit: the first so many records, or as many rendered clips (250). boxes: of
    folder and penn, see their readers. by_name: of h36m, read H36M17 and let joints meet by name,
    for networks that learnt them elsewhere; else a network in PA17 or PA20 is scored in its own
    layout, by the original project's tables. options: step, views ("single", "flip",
    "multi_crop"), crop ("warp", "original"), predicted_box, root_depth, out, as far as the protocol
    has them. "common" gives a `Report` of all blocks. ValueError and what the reader raises.
    """
    if (kind, split, protocol) == ("mpii", "test", None):
        protocol = "predictions"  # whose poses are not public
    protocol, benchmark = find(kind, protocol)
    split = split or benchmark.split
    arguments = benchmark.arguments(options or {})
    model, card = weights.load(name_or_path, device=device)
    card = replace(card, margin=card.margins.get(kind, card.margin))
    arguments |= _trained_step(benchmark, card, options or {})
    if block is not None:
        model = model.cut(*block)
    if kind == "people":
        records = _people(card, split, PEOPLE_CLIPS if limit is None else limit, preset, console)
    else:
        layout = "H36M17" if by_name else card.layout
        records = _read(kind, benchmark, layout, root, split, boxes)[:limit]
    arguments |= _from_root(kind, root, split)
    found = benchmark.score(channels_last(model), card, records, **arguments)
    if isinstance(found, Report):
        return replace(found, data=kind, split=split)
    here = model.exits[-1]
    return replace(found, data=kind, protocol=protocol, split=split, block=here)


def _trained_step(
    benchmark: Benchmark, card: Card, options: Mapping[str, Any]
) -> dict[str, ClipProtocol]:
    """Clips as the network's card has them, unless the step was asked for or is the code's."""
    how = benchmark.arguments(options).get("how")
    if not isinstance(how, ClipProtocol) or how.spacing == "released":
        return {}
    return {"how": replace(how, step=card.step)} if card.step and "step" not in options else {}


def _people(
    card: Card, split: str, clips: int, preset: Preset, console: Console
) -> Sequence[Record]:
    height, width = card.size
    config = PeopleConfig(
        preset=preset, frames=card.frames, fps=card.fps, height=height, width=width
    )
    records = data.load("people", split=split, people=config, clips=clips, console=console)
    return records[:clips]


def _read(
    kind: str,
    benchmark: Benchmark,
    layout: str,
    root: str | Path | None,
    split: str,
    boxes: str | Path | None,
) -> list[Record]:
    if root is None:
        raise ValueError(f"data set {kind} needs its folder: --root DIR")
    options = dict(benchmark.reader)
    if boxes is not None:
        if kind not in ("folder", "penn"):
            raise ValueError(f"boxes from a file are for folder and penn; {kind} has its own")
        options["boxes"] = boxes
    if kind == "coco":
        options["annotations"] = _coco_file(root, split)
    if kind == "h36m":
        options["layout"] = layout_named(layout if layout in _BY_TABLE else "H36M17")
    records = data.READERS[kind].load(root, split, **options)
    # Classes of a packed set are numbers without names: nothing says that the network's are these.
    return [replace(r, action=None) for r in records] if kind == "packed" else records


_BY_TABLE = (PA17.name, PA20.name)


def _from_root(kind: str, root: str | Path | None, split: str) -> dict[str, Any]:
    """What else a protocol must know of the data set's folder."""
    if kind == "folder" and root is not None:
        return {"labels": folder.classes(root)}
    if kind == "coco" and root is not None:
        return {"annotations": Path(root, _coco_file(root, split) or "")}
    return {}


def _coco_file(root: str | Path, split: str) -> str | None:
    """The keypoints of the split, below root, of the newest year; None, and the reader says why."""
    found = sorted(Path(root).glob(f"annotations/person_keypoints_{split}*.json"))
    return f"annotations/{found[-1].name}" if found else None
