"""Every reader of the package, and a small good file for it: what the fuzzer begins with.

A reader here is a folder that holds one file to be spoilt and whatever must lie beside it, and a
call that reads the folder as a user's command would.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from poseact.core import reading
from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data import archives, pack
from poseact.data.frames import VideoFile
from poseact.data.sets import (
    coco,
    folder,
    h36m,
    jhmdb,
    lsp,
    mpi_inf_3dhp,
    mpii,
    msr3d,
    ntu,
    penn,
    pseudo,
    sbu,
    skeletons,
)
from poseact.inference.box_file import BoxFile
from poseact.media.pictures import read_image, write_image
from poseact.media.video import VideoReader
from poseact.models import enas, pretrained, weights
from poseact.models.lifter import Lifter, LifterConfig
from poseact.models.multipose import MultiPose, MultiPoseConfig
from poseact.models.original.blueprints import from_constructor, read_constructor
from poseact.models.spnet import SPNet
from poseact.results.formats import write_coco, write_openpose, write_trc
from poseact.results.jsonl import ResultsWriter, read_jsonl
from poseact.results.table import write_csv
from poseact.skeletons.classifier_file import load_classifier, save_classifier
from poseact.skeletons.keypoints import read_keypoints
from poseact.skeletons.spmf import SPMFConfig
from poseact.train.config import Config, Mix, Stage, from_json, to_json
from poseact.train.curve import training_curve
from poseact.train.own import actions
from poseact.train.run_folder import RunFolder
from tests.conftest import small_spnet
from tests.data.sets import (
    test_coco,
    test_h36m,
    test_jhmdb,
    test_mpi_inf_3dhp,
    test_mpii,
    test_msr3d,
    test_ntu,
)
from tests.fuzz import seeds_cameras as cameras
from tests.fuzz.seeds_data import (
    lspet_joints,
    lspet_packed,
    made_by,
    ntu_table,
    own_clips,
    packed,
    penn_label,
    penn_original,
    pseudo_people,
    sbu_text,
    skeletons_msr,
    skeletons_sbu,
)
from tests.small_media import clip, gradient
from tests.small_results import HEADER, results


class Reader(NamedTuple):
    """seed: fills a folder. file: the one in it to spoil. read: reads the folder."""

    seed: Callable[[Path], object]
    file: str
    read: Callable[[Path], object]


def touched(records: Iterable[Record]) -> None:
    """The first frames of some records, too."""
    for record in list(records)[:3]:
        if record.frame is not None:
            record.frame(0)


# ------------------------------------------------------------------------------- results, runs


def results_file(root: Path) -> None:
    header = asdict(HEADER) | {"layout": PA17}
    with ResultsWriter(root / "a.jsonl", **header) as out:
        for result in results():
            out.write(result)


def detector_boxes(root: Path) -> None:
    (root / "a.csv").write_text("frame,x0,y0,x1,y1,score\n0,1,2,30,40,0.5\n2,1.5,2,31,40,1\n")


def all_forms(root: Path) -> None:
    header, found = read_jsonl(root / "a.jsonl")
    write_csv(root / "a.csv", header, found)
    write_coco(root / "a_coco.json", header, found)
    write_openpose(root / "a_openpose", header, found)
    write_trc(root / "a.trc", header, found)


def openpose(root: Path) -> None:
    table = np.random.default_rng(0).uniform(10, 400, (25, 3)).round(2).ravel().tolist()
    people = [{"person_id": [-1], "pose_keypoints_2d": table}]
    (root / "a_000000000000_keypoints.json").write_text(json.dumps({"people": people}))


def coco_list(root: Path, joints: int = 17, name: str = "%d") -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "image_id": name % t if "." in name else t,
            "category_id": 1,
            "keypoints": rng.uniform(10, 400, (joints, 3)).round(2).ravel().tolist(),
            "score": 0.9,
        }
        for t in range(4)
    ]
    (root / "a.json").write_text(json.dumps(rows))


def run_config(root: Path) -> None:
    mix = (Mix("people", "people", 2),)
    model = replace(small_spnet(2), levels=2)
    config = Config("small", model, "PA17", (("a", "b"),), (Stage("all", 4, mix),), size=(64, 64))
    (root / "config.json").write_text(to_json(config))


def run_log(root: Path) -> None:
    lines = [
        {"step": n, "stage": "all", "lr": 1e-3, "steps_per_s": 2.0, "total": 2 / n, "pck": 0.5}
        for n in range(1, 9)
    ]
    (root / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def checkpoint(root: Path) -> None:
    RunFolder(root).save_checkpoint({"step": 4, "model": {"a": torch.ones(3)}, "stage": 0})


def classifier(root: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    config = enas.ENASConfig(classes=2, blocks=1, channels=4)
    model = enas.ENASNet(enas.random_genotype(2, generator), config)
    save_classifier(
        root / "a.safetensors", model, SPMFConfig(), layout=PA17, labels="ab", frames=8, fps=8.0
    )


def spnet(root: Path) -> None:
    config = small_spnet(4)
    card = weights.Card(asdict(config), "PA17", (("a", "b", "c", "d"),), (64, 64))
    weights.save(root / "a.safetensors", SPNet(config), card, half=True)


def multipose(root: Path) -> None:
    config = MultiPoseConfig(width=0.5)
    card = weights.Card(asdict(config), "COCO17", (), (0, 0), architecture="multipose")
    weights.save(root / "a.safetensors", MultiPose(config), card, half=True)


def lifter(root: Path) -> None:
    config = LifterConfig(width=16, blocks=1)
    card = weights.Card(asdict(config), "H36M17", (), (0, 0), architecture="lifter")
    weights.save(root / "a.safetensors", Lifter(config), card, half=True)


def constructor(root: Path) -> None:
    args = {"input_shape": [4, 64, 96, 3], "num_actions": [15, 3], "num_pyramids": 3}
    args |= {"action_pyramids": [2, 3], "num_levels": 3, "growth": 16}
    text = json.dumps({"constructor": {"kind": "spnet", "args": args}})
    (root / "a.json").write_text(text)


def built(root: Path) -> None:
    path = root / "a.json"
    with reading.understood(path):
        config = from_constructor(read_constructor(path)).config
    with torch.device("meta"):
        weights.network(config)


def configured(root: Path) -> None:
    path = root / "config.json"
    with reading.understood(path):
        config = from_json(path.read_text())
    with torch.device("meta"):
        weights.network(config.model)


# ------------------------------------------------------------------------------- media


def film(name: str) -> Callable[[Path], None]:
    def seed(root: Path) -> None:
        import av

        clip(root / "a.mp4")
        if name != "a.mp4":
            codec = {".webm": "libvpx", ".avi": "mpeg4", ".gif": "gif"}.get(name[-5:].strip("a"))
            codec = codec or {"webm": "libvpx", "avi": "mpeg4"}.get(name.split(".")[1], "libx264")
            with av.open(str(root / name), "w") as out:
                stream = out.add_stream(codec, rate=10)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                for i in range(10):
                    rgb = np.full((48, 64, 3), 20 * i, np.uint8)
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
                out.mux(stream.encode(None))

    return seed


def seen(name: str) -> Callable[[Path], None]:
    def read(root: Path) -> None:
        with VideoReader(root / name) as video:
            for _ in video:
                pass

    return read


def still(name: str) -> Reader:
    return Reader(
        lambda root: write_image(root / name, gradient()),
        name,
        lambda root: read_image(root / name),
    )


def at(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: read(root / name)


def _mpii(form: str) -> Callable[[Path], None]:
    def seed(root: Path) -> None:
        test_mpii.paint(root / "images")
        if form == "json":
            test_mpii.write_json(root, prefix="", val="valid", heads="gt_valid.mat")
        else:
            getattr(test_mpii, f"write_{form}")(root)

    return seed


def _val(root: Path) -> None:
    touched(mpii.load(root, "val"))


def _all(root: Path) -> None:
    touched(mpii.load(root, "trainval"))


READERS: dict[str, Reader] = {
    "archive_pickle": Reader(
        lambda root: (root / "a.pkl").write_bytes(
            pickle.dumps({"R": np.eye(3), "o": np.array([1, "x", None], object)}, protocol=2)
        ),
        "a.pkl",
        at("a.pkl", archives.read_pickle),
    ),
    "boxes_json": Reader(
        own_clips, "boxes.json", lambda root: folder.load(root, "all", boxes=root / "boxes.json")
    ),
    "boxes_csv": Reader(
        own_clips, "boxes.csv", lambda root: folder.load(root, "all", boxes=root / "boxes.csv")
    ),
    "detector_boxes": Reader(detector_boxes, "a.csv", lambda root: BoxFile(root / "a.csv").at(0)),
    "calibration_toml": Reader(cameras.toml, "a.toml", cameras.read_cameras),
    **{
        f"calibration_{form}": Reader(
            partial(cameras.opencv, name=f"a.{form}"), f"a.{form}", cameras.read_cameras
        )
        for form in ("yml", "json")
    },
    "coco_json": Reader(
        lambda root: test_coco.write(root, test_coco.PEOPLE),
        "annotations/person_keypoints_val2017.json",
        lambda root: touched(coco.load(root)),
    ),
    "coco_results_file": Reader(coco_list, "a.json", at("a.json", coco.read_results)),
    "genotype_json": Reader(
        lambda root: (root / "a.json").write_text(
            enas.random_genotype(2, torch.Generator().manual_seed(0)).to_json()
        ),
        "a.json",
        at("a.json", enas.read_genotype),
    ),
    "h36m_cameras_h5": Reader(
        made_by(test_h36m, "TestMartinez"), "h36m/cameras.h5", lambda root: h36m.load(root, "test")
    ),
    "h36m_cameras_pkl": Reader(
        made_by(test_h36m, "TestMmpose"),
        "annotation_body3d/cameras.pkl",
        lambda root: touched(h36m.load(root, "train")),
    ),
    "h36m_deephar_mat": Reader(
        made_by(test_h36m, "TestDeephar"),
        "annotations.mat",
        lambda root: touched(h36m.load(root, "train")),
    ),
    "h36m_martinez_h5": Reader(
        made_by(test_h36m, "TestMartinez"),
        "h36m/S9/MyPoses/3D_positions/Sitting 1.h5",
        lambda root: h36m.load(root, "test"),
    ),
    "h36m_mmpose_npz": Reader(
        made_by(test_h36m, "TestMmpose"),
        "annotation_body3d/fps50/h36m_train.npz",
        lambda root: touched(h36m.load(root, "train")),
    ),
    "h36m_videopose_npz": Reader(
        made_by(test_h36m, "TestVideoPose"), "data_3d_h36m.npz", lambda root: h36m.load(root)
    ),
    "jhmdb_joints_mat": Reader(
        test_jhmdb.write_original,
        "joint_positions/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0/joint_positions.mat",
        lambda root: touched(jhmdb.load(root, "test")),
    ),
    "jhmdb_mask_mat": Reader(
        test_jhmdb.write_original,
        "puppet_mask/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0/puppet_mask.mat",
        lambda root: touched(jhmdb.load(root, "test")),
    ),
    "jhmdb_json": Reader(
        test_jhmdb.write_mmpose, "annotations/Sub1_train.json", lambda root: jhmdb.load(root)
    ),
    "keras_config_json": Reader(constructor, "a.json", built),
    "keypoints_alphapose": Reader(
        lambda root: coco_list(root, 26, "%d.jpg"), "a.json", at("a.json", read_keypoints)
    ),
    "keypoints_coco_results": Reader(coco_list, "a.json", at("a.json", read_keypoints)),
    "keypoints_jsonl": Reader(results_file, "a.jsonl", at("a.jsonl", read_keypoints)),
    "keypoints_npy": Reader(
        lambda root: np.save(root / "a.npy", np.random.default_rng(0).uniform(9, 99, (3, 17, 2))),
        "a.npy",
        lambda root: read_keypoints(root / "a.npy", layout="COCO17"),
    ),
    "keypoints_openpose": Reader(
        openpose,
        "a_000000000000_keypoints.json",
        at("a_000000000000_keypoints.json", read_keypoints),
    ),
    "lspet_joints_mat": Reader(lspet_joints, "joints.mat", lambda root: touched(lsp.load(root))),
    "lspet_packed_npz": Reader(lspet_packed, "lspet.npz", lambda root: touched(lsp.load(root))),
    "mpi_inf_cameras_pkl": Reader(
        test_mpi_inf_3dhp.make,
        "annotations/cameras_train.pkl",
        lambda root: touched(mpi_inf_3dhp.load(root)),
    ),
    "mpi_inf_mat73": Reader(
        lambda root: test_mpi_inf_3dhp.make(root, activities=True),
        "test/TS1/annot_data.mat",
        lambda root: mpi_inf_3dhp.load(root, "test"),
    ),
    "mpi_inf_npz": Reader(
        test_mpi_inf_3dhp.make,
        "annotations/mpi_inf_3dhp_train.npz",
        lambda root: touched(mpi_inf_3dhp.load(root)),
    ),
    "mpii_authors_mat": Reader(_mpii("authors"), "annotations.mat", _all),
    "mpii_gt_mat": Reader(_mpii("json"), "annot/gt_valid.mat", _val),
    "mpii_hourglass_h5": Reader(_mpii("hourglass"), "annot/valid.h5", _val),
    "mpii_json": Reader(_mpii("json"), "annot/valid.json", _val),
    "mpii_original_mat": Reader(_mpii("original"), "mpii_human_pose_v1_u12_1.mat", _val),
    "msr3d_text": Reader(
        lambda root: test_msr3d.write(root, "a01_s01_e01", test_msr3d.standing()),
        "a01_s01_e01_skeleton3D.txt",
        lambda root: msr3d.load(root, "all", listed=False),
    ),
    "ntu_npy": Reader(
        ntu_table, f"nturgb+d_numpy/{test_ntu.NAME}.npy", lambda root: ntu.load(root, "all")
    ),
    "ntu_skeleton": Reader(
        test_ntu.sample,
        f"nturgb+d_skeletons/{test_ntu.NAME}.skeleton",
        lambda root: ntu.load(root, "all"),
    ),
    "own_actions_config": Reader(
        lambda root: (root / "config.json").write_text('{"root": "r", "weights": "w"}'),
        "config.json",
        lambda root: actions._claim(root, actions.Settings("r", weights="w")),
    ),
    "packed_index_npz": Reader(
        packed, f"train/{pack.INDEX}", lambda root: (touched(pack.load(root)), pack.verify(root))
    ),
    "penn_boxes_json": Reader(
        penn_original, "boxes.json", lambda root: penn.load(root, boxes=root / "boxes.json")
    ),
    "penn_label_mat": Reader(penn_label, "labels/0001.mat", lambda root: touched(penn.load(root))),
    "penn_original_mat": Reader(
        penn_original, "annotations.mat", lambda root: touched(penn.load(root))
    ),
    "pretrained_pt": Reader(
        lambda root: torch.save({"features.0.weight": torch.ones(64, 3, 3, 3)}, root / "a.pt"),
        "a.pt",
        at("a.pt", pretrained.read_tensors),
    ),
    "pseudo_npz": Reader(
        pseudo_people,
        "people/people_teacher.npz",
        lambda root: touched(pseudo.load(root, "all", pack="people")),
    ),
    "results_jsonl": Reader(results_file, "a.jsonl", all_forms),
    "run_checkpoint_pt": Reader(
        checkpoint, "checkpoint.pt", lambda root: RunFolder(root).read_checkpoint()
    ),
    "run_config_json": Reader(run_config, "config.json", configured),
    "run_log_jsonl": Reader(run_log, "log.jsonl", lambda root: training_curve([root])),
    "sbu_text": Reader(
        sbu_text, "s01s02/01/001/skeleton_pos.txt", lambda root: sbu.load(root, "all")
    ),
    "skeletons_msr_npz": Reader(
        skeletons_msr, "msr.npz", lambda root: skeletons.load(root, "all", subset="AS1")
    ),
    "skeletons_sbu_npz": Reader(skeletons_sbu, "two.npz", lambda root: skeletons.load(root, "all")),
    "still_bmp": still("a.bmp"),
    "still_jpeg": still("a.jpg"),
    "still_png": still("a.png"),
    "still_tiff": still("a.tif"),
    "still_webp": still("a.webp"),
    "video_random_access": Reader(
        film("a.mp4"), "a.mp4", lambda root: [VideoFile(root / "a.mp4")(t) for t in (5, 0, 9)]
    ),
    **{
        f"video_{form}": Reader(film(f"a.{form}"), f"a.{form}", seen(f"a.{form}"))
        for form in ("mp4", "mkv", "avi", "webm")
    },
    "weights_exported": Reader(cameras.exported, "a.onnx", cameras.read_exported),
    "weights_classifier": Reader(classifier, "a.safetensors", at("a.safetensors", load_classifier)),
    "weights_lifter": Reader(lifter, "a.safetensors", at("a.safetensors", weights.load_lifter)),
    "weights_multipose": Reader(
        multipose, "a.safetensors", at("a.safetensors", weights.load_multipose)
    ),
    "weights_spnet": Reader(spnet, "a.safetensors", at("a.safetensors", weights.load)),
}
