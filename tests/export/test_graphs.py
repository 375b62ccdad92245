"""Shipped graphs fit the shipped weights and their own fine-tuned copies; without torch, too."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.core.machine import has_gpu_driver
from poseact.export.graphs import DEFAULTS
from poseact.inference.backends import open_detector, open_network
from poseact.models import weights
from poseact.models.cards import SHIPPED, available, read_card
from poseact.models.exported import GRAPHS, Runtime, graphs_of

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
ANEW = "write the graphs anew: python -m tools.graphs"
NAMES = [name for name in available() if read_card(name).architecture in DEFAULTS]


@pytest.fixture(params=["onnx", "openvino"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return request.param


def frames(count: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def test_every_shipped_network_has_one() -> None:
    listed = json.loads((SHIPPED / GRAPHS).read_text())
    assert sorted(listed) == sorted(NAMES), ANEW
    for name, of in listed.items():
        defaults = asdict(DEFAULTS[of["architecture"]]())
        assert of["defaults"] == json.loads(json.dumps(defaults)), f"{name}: {ANEW}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "people"])
def test_networks_say_what_they_say_in_pytorch(name: str, runtime: Runtime) -> None:
    one, other = (open_network(name, runtime=r, device="cpu") for r in ("torch", runtime))
    assert (one.runtime, other.runtime, one.card) == ("torch", runtime, other.card)
    crops = frames(3, one.card.size)
    a, b = one.network.frames(crops), other.network.frames(crops)
    np.testing.assert_allclose(b.pose, a.pose, atol=1e-4, err_msg=ANEW)
    np.testing.assert_allclose(b.score, a.score, atol=1e-4, err_msg=ANEW)
    assert len(a.features) == len(b.features) and one.acts == other.acts
    if one.acts:
        window = tuple(f[np.arange(one.card.frames) % 3][None] for f in a.features)
        for x, y in zip(one.network.actions(window), other.network.actions(window), strict=True):
            np.testing.assert_allclose(y, x, atol=1e-4, err_msg=ANEW)


@pytest.mark.parametrize("size", [(192, 320), (320, 96)])
def test_the_detector_says_what_it_says_in_pytorch(size: tuple[int, int], runtime: Runtime) -> None:
    one, other = (open_detector("people", runtime=r) for r in ("torch", runtime))
    for a, b in zip(one(frames(1, size)), other(frames(1, size)), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-3, err_msg=ANEW)


def test_other_weights_and_other_heads_of_the_configuration_take_them(tmp_path: Path) -> None:
    model, card = weights.load("spnet-light")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    tuned = weights.save(tmp_path / "tuned.safetensors", model, card)
    config = replace(model.config, actions=(3,))
    with_heads = weights.network(config)
    kept = {
        n: v for n, v in model.state_dict().items() if v.shape == with_heads.state_dict()[n].shape
    }
    with_heads.load_state_dict(kept, strict=False)
    own = replace(card, config=asdict(config), labels=(("a", "b", "c"),))
    own_path = weights.save(tmp_path / "own.safetensors", with_heads, own)
    crops = frames(1, card.size)
    for path, classes in ((tuned, len(card.labels[0])), (own_path, 3)):
        one, other = (open_network(path, runtime=r, device="cpu") for r in ("torch", None))
        assert other.runtime == "onnx"
        a, b = one.network.frames(crops), other.network.frames(crops)
        np.testing.assert_allclose(b.pose, a.pose, atol=1e-4)
        window = tuple(np.repeat(f[:, None], card.frames, 1) for f in a.features)
        (x,), (y,) = (o.network.actions(window) for o in (one, other))
        assert x.shape == (1, classes)
        np.testing.assert_allclose(y, x, atol=1e-4)


def test_pytorch_runs_what_has_no_graph(tmp_path: Path) -> None:
    model, card = weights.load("spnet-light")
    assert graphs_of(replace(card, size=(96, 96))) is None
    assert graphs_of(replace(card, config={**card.config, "alpha": 1.5})) is None
    assert open_network("spnet-light", device="cpu", exit=model.exits[0]).runtime == "torch"
    with pytest.raises(ValueError, match="runs on the CPU, not on cuda"):
        open_network("spnet-light", device="cuda", runtime="onnx")
    (tmp_path / "cut.safetensors").write_bytes(available()["spnet-light"].read_bytes()[:99_999])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        open_network(tmp_path / "cut.safetensors", device="cpu")


def test_pictures_are_predicted_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, poseact\n"
        "from poseact.media.pictures import read_image\n"
        f"rgb = read_image({str(tmp_path / 'a.png')!r})\n"
        "predictor = poseact.Predictor()\n"
        "(person,) = predictor.image(rgb).people\n"
        "session = predictor.session()\n"
        "for t in range(10): (again,) = session.push(rgb, t / 8).people\n"
        "assert again.action is not None\n"
        f"np.savez({str(tmp_path / 'a.npz')!r}, xy=person.xy, xyz=person.xyz, act=again.action)\n"
        "try: predictor.model\n"
        "except ImportError as error: print(error)\n"
    )
    from poseact.inference.predictor import Predictor
    from poseact.media.pictures import read_image, write_image
    from poseact.people import PeopleConfig, render_clip

    clip = render_clip(PeopleConfig(frames=1, height=320, width=320), 3)
    write_image(tmp_path / "a.png", clip.frames[0])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "this needs PyTorch: pip install torch\n"
    rgb = read_image(tmp_path / "a.png")
    predictor = Predictor(runtime="torch", device="cpu")
    (person,) = predictor.image(rgb).people
    session = predictor.session()
    for t in range(10):
        (again,) = session.push(rgb, t / 8).people
    assert person.xyz is not None and again.action is not None
    with np.load(tmp_path / "a.npz") as found:
        np.testing.assert_allclose(found["xy"], person.xy, atol=0.05)
        np.testing.assert_allclose(found["xyz"], person.xyz, atol=1)
        np.testing.assert_allclose(found["act"], again.action, atol=1e-3)


@pytest.mark.skipif(has_gpu_driver(), reason="there is a GPU, which PyTorch is asked about")
def test_torch_is_not_imported_where_it_is_not_needed() -> None:
    code = "import sys, poseact; poseact.Predictor(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
