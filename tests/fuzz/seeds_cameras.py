"""Calibrations of cameras and exported networks, for the fuzzer (`seeds`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from poseact.core.calibration import read_calibration
from poseact.models.exported import CARD, load_exported
from poseact.models.weights import Card
from tests.conftest import small_spnet

TOML = """
[cam_1]
name = "left"
size = [ 640.0, 480.0,]
matrix = [ [ 500.0, 0.0, 320.0,], [ 0.0, 500.0, 240.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ 0.1, 0.0, 0.0, 0.0,]
rotation = [ 0.0, 0.1, 0.0,]
translation = [ 0.0, 0.0, 3.0,]
fisheye = false
"""


def toml(root: Path) -> None:
    (root / "a.toml").write_text(TOML)


def opencv(root: Path, name: str) -> None:
    storage = cv2.FileStorage(str(root / name), cv2.FILE_STORAGE_WRITE)
    storage.startWriteStruct("left", cv2.FILE_NODE_MAP)
    storage.write("camera_matrix", np.diag([500.0, 500.0, 1.0]))
    storage.write("distortion_coefficients", np.zeros(5))
    storage.write("rvec", np.array([0.0, 0.1, 0.0]))
    storage.write("tvec", np.array([0.0, 0.0, 3.0]))
    storage.endWriteStruct()
    storage.release()


def exported(root: Path) -> None:
    """A graph that ONNX Runtime opens, with a card."""
    from onnx import TensorProto, helper, save

    info = helper.make_tensor_value_info
    x, y = (info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "a", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    card = Card(asdict(small_spnet(4)), "PA17", (), (64, 64))
    helper.set_model_props(model, {CARD: json.dumps(asdict(card))})
    save(model, root / "a.onnx")


def read_exported(root: Path) -> None:
    load_exported(root / "a.onnx")


def read_cameras(root: Path) -> None:
    (path,) = root.iterdir()
    for camera in read_calibration(path):
        camera.project(np.ones((1, 3)))
