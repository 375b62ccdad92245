"""The six weight files that the authors of the original networks published, as a table.

None is shipped and none is fetched: someone who has downloaded one imports it. What is known of
them is from the original project's code; the two on Google Drive bear no checksum there.
"""

from __future__ import annotations

from dataclasses import dataclass

from poseact.models import multitask, spnet
from poseact.models.multitask import MultitaskConfig
from poseact.models.spnet import SPNetConfig


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


PENN = _list(
    "baseball pitch, baseball swing, bench press, bowl, clean and jerk, golf swing, jump rope, "
    "jumping jacks, pull-up, push-up, sit-up, squat, strum guitar, tennis forehand, tennis serve"
)
"""Classes of Penn Action, in its order (alphabetical)."""

NTU60 = _list(
    "drink water, eat meal, brush teeth, brush hair, drop, pick up, throw, sit down, stand up, "
    "clap, read, write, tear up paper, put on jacket, take off jacket, put on shoe, take off shoe, "
    "put on glasses, take off glasses, put on hat, take off hat, cheer up, wave hand, "
    "kick something, reach into pocket, hop, jump up, phone call, play with phone, "
    "type on keyboard, point to something, take selfie, check time, rub hands, nod head, "
    "shake head, wipe face, salute, put palms together, cross hands in front, sneeze or cough, "
    "stagger, fall down, headache, chest pain, back pain, neck pain, nausea, fan self, "
    "punch or slap, kick person, push person, pat on back, point finger, hug, give object, "
    "touch pocket, shake hands, walk towards, walk apart"
)
"""Classes A1 to A60 of NTU RGB+D, in its order, in short words."""


@dataclass(frozen=True)
class Published:
    """A published file.

    origin: where its authors put it. md5: None where they gave none. frames, fps: the clips of its
    evaluation (1 frame: stills), sources taken at 30 frames a second. margin: crop over person.
    """

    file: str
    origin: str
    md5: str | None
    config: SPNetConfig | MultitaskConfig
    layout: str
    trained_on: str
    frames: int = 1
    fps: float = 30.0
    margin: float = 1.25
    size: tuple[int, int] = (256, 256)
    note: str = ""


_RELEASES = "github.com/dluvizon/deephar, release "

LICENCE = (
    "the original code is under the MIT licence; nothing is said of these files, and MPII, "
    "Human3.6M and NTU RGB+D allow research, not trade: ask their owners before any other use"
)

SIDES = (
    "left and right are as seen in the picture: the original's NTU tables exchange the Kinect's "
    "names, and so undo that its pictures are mirror images; MPII and Human3.6M, learned beside "
    "it, need no exchange (by the tables; the file itself was not at hand)"
)
"""X of the Kinect grows to the sensor's left, columns of NTU's pictures grow with X (the first
joint of sample S001C001P001R001A001: x = 0.22 m, column 1036 of 1920): they are mirror images."""

PUBLISHED: tuple[Published, ...] = (
    Published(
        "weights_PE_MPII_cvpr18_19-09-2017.h5",
        _RELEASES + "v0.1",
        "d6b85ba4b8a3fc9d05c8ad73f763d999",
        multitask.PUBLISHED["mpii_k8"],
        "PA16",
        "MPII, 2D pose of single persons",
    ),
    Published(
        "weights_3DPE_H36M_cvpr18_Nov-2017.h5",
        _RELEASES + "v0.2",
        "af79f83ad939117d4ccc2cf1d4bd37d2",
        multitask.PUBLISHED["h36m_k8"],
        "PA17",
        "Human3.6M and MPII, 3D pose",
    ),
    Published(
        "weights_AR_merge_ep074_26-10-17.h5",
        _RELEASES + "v0.3",
        "f53f89257077616a79a6c1cd1702d50f",
        multitask.PUBLISHED["penn_k4"],
        "PA16",
        "Penn Action and MPII, 2D pose and 15 actions",
        frames=16,
        fps=15.0,
    ),
    Published(
        "weights_AR_merge_NTU_v2.h5",
        _RELEASES + "v0.4",
        "ff98d70a7f6bc5976cc11c7a5760e8b7",
        multitask.PUBLISHED["ntu_k4"],
        "PA20",
        "NTU RGB+D, Human3.6M and MPII, 3D pose and 60 actions",
        frames=20,
        fps=15.0,
        note=SIDES,
    ),
    Published(
        "weights_mpii+penn_ar_028.hdf5",
        "Google Drive, file 106yIhqNN-TrI34SX81q2xbU-NczcQj6I",
        None,
        spnet.PUBLISHED["penn_eval"],
        "PA16",
        "MPII and Penn Action, 2D pose and 15 actions",
        frames=8,
        fps=5.0,
        margin=1.5,
    ),
    Published(
        "weights_3dp+ntu_ar_062.hdf5",
        "Google Drive, file 1I6GftXEkL5nohLA60Vi6faW0rvTZg6Kx",
        None,
        spnet.PUBLISHED["ntu_p2"],
        "PA17",
        "3D pose data (after its name) and NTU RGB+D, 3D pose and 60 actions",
        frames=8,
        fps=3.75,
        margin=1.5,
        note="may hold decoupled poses (its folder is called replica); both kinds are recognised; "
        + SIDES,
    ),
)


def labels(actions: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
    """Class names of each action set: 15 are Penn Action's, 60 NTU RGB+D's, others are numbered."""
    known = {len(names): names for names in (PENN, NTU60)}
    return tuple(known.get(n, tuple(f"action {i}" for i in range(1, n + 1))) for n in actions)


def published(md5: str, config: SPNetConfig | MultitaskConfig) -> Published | None:
    """The published file of this checksum, or else one whose network this is."""
    by_sum = [file for file in PUBLISHED if file.md5 == md5]
    by_network = [file for file in PUBLISHED if file.config == config]
    return next(iter(by_sum + by_network), None)


def describe() -> list[str]:
    """A paragraph for each published file: where it is, what it is, how to import it."""
    texts = []
    for file in PUBLISHED:
        height, width = file.size
        network = type(file.config).__name__.removesuffix("Config")
        clips = f", clips of {file.frames} frames" if file.frames > 1 else ", stills"
        lines = [
            f"{file.file}  ({file.origin})",
            f"  {network}, {width}x{height} px, {file.config.dim}D, layout {file.layout}{clips}",
            f"  trained on {file.trained_on}",
            f"  md5 {file.md5 or 'not published'}",
            *([f"  {file.note}"] if file.note else []),
            f"  once downloaded: poseact import-keras {file.file} -o NAME.safetensors",
        ]
        texts.append("\n".join(lines))
    return texts
