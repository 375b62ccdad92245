"""ONNX files: the numbers of their weights, also through `Predictor`, or nothing is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.cli import main
from poseact.export import onnx_file
from poseact.export.onnx_file import export_onnx
from poseact.inference.eager import Eager
from poseact.inference.predictor import Predictor
from poseact.models import weights
from poseact.models.exported import CARD, heads_path, load_exported
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Card
from tests.conftest import settled

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: SPNetConfig
) -> Iterator[tuple[Path, Path]]:
    """Weights with action heads, and the file that was exported of them."""
    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    card = Card(
        config=asdict(tiny_config),
        layout="PA17",
        labels=(("idle", "walk", "run", "jump"),),
        size=(64, 64),
        frames=3,
        believed=0.0,
    )
    source = weights.save(folder / "tiny.safetensors", settled(SPNet(tiny_config)), card)
    export_onnx(source, folder / "tiny.onnx")
    yield source, folder / "tiny.onnx"


def _pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(count)]


def _crops(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_an_exported_file_says_what_its_weights_say(made: tuple[Path, Path]) -> None:
    source, path = made
    model = Eager(weights.load(source).model)
    exported, card = load_exported(path, threads=1)
    assert (card.size, card.layout, card.labels[0][1]) == ((64, 64), "PA17", "walk")
    for count in (1, 5):
        seen, again = model.frames(_crops(count)), exported.frames(_crops(count))
        assert len(again.features) == len(seen.features)
        np.testing.assert_allclose(again.pose, seen.pose, atol=1e-4)
        np.testing.assert_allclose(again.score, seen.score, atol=1e-4)
    windows = tuple(np.stack([f[:3], f[2:]]) for f in seen.features)
    (expected,), (found,) = model.actions(windows), exported.actions(windows)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_predictor_takes_it_for_pictures_and_videos(made: tuple[Path, Path]) -> None:
    source, path = made
    box = np.array([10.0, 5.0, 70.0, 75.0])
    one, other = (Predictor(w, detector="none", smooth=False) for w in (source, path))
    (a,), (b,) = (p.image(_pictures(1)[0], box=box).people for p in (one, other))
    np.testing.assert_allclose(b.xy, a.xy, atol=0.05)
    assert a.xyz is not None and b.xyz is not None
    np.testing.assert_allclose(b.xyz, a.xyz, atol=0.5)
    seen, again = one.session(), other.session()
    for number, rgb in enumerate(_pictures(4)):
        p, q = (s.push(rgb, number / 8).people[0] for s in (seen, again))
        assert (p.action is None) == (q.action is None) == (number < 2)
    assert p.action is not None and q.action is not None
    np.testing.assert_allclose(q.action, p.action, atol=1e-3)
    with pytest.raises(ValueError, match=r"tiny.onnx is an exported file; this needs its weights"):
        _ = other.model


def test_the_file_carries_its_card(made: tuple[Path, Path]) -> None:
    for path in (made[1], heads_path(made[1])):
        onnx.checker.check_model(str(path))
        metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
        assert json.loads(metadata[CARD])["labels"] == [["idle", "walk", "run", "jump"]]


def test_what_differs_is_not_kept(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    (tmp_path / "a.onnx").write_text("of before")
    with pytest.raises(ValueError, match=r"a.onnx is not kept: it differs from PyTorch"):
        export_onnx(made[0], tmp_path / "a.onnx", exit=(1, 1))
    assert (tmp_path / "a.onnx").read_text() == "of before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def test_what_cannot_be_exported_or_opened_ends_in_one_line(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    source, path = made
    with pytest.raises(ValueError, match=r"an ONNX file is called NAME.onnx"):
        export_onnx(source, tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"no exit \(7, 7\)"):
        export_onnx(source, tmp_path / "a.onnx", exit=(7, 7))
    with pytest.raises(FileNotFoundError, match=r"poseact export WEIGHTS -o"):
        Predictor(tmp_path / "missing.onnx")
    with pytest.raises(ValueError, match="exported files run on the CPU"):
        Predictor(path, device="cuda")
    with pytest.raises(ValueError, match="chosen by poseact export"):
        Predictor(path, exit=(1, 1))
    with pytest.raises(ValueError, match="runtime onnx needs an exported file"):
        Predictor(source, runtime="onnx")
    (tmp_path / "bytes.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"ONNX Runtime cannot read it .*bytes.onnx"):
        Predictor(tmp_path / "bytes.onnx")
    foreign = onnx.load(str(path))
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ValueError, match=r"foreign.onnx: not a network that poseact export"):
        load_exported(tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="holds action heads alone"):
        load_exported(heads_path(path))
    (tmp_path / "alone.onnx").write_bytes(path.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"alone.actions.onnx, the action heads of"):
        load_exported(tmp_path / "alone.onnx")


def test_without_the_extra_the_mend_is_named(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'poseact\[onnx\]'"):
        export_onnx(made[0], tmp_path / "a.onnx")
    with pytest.raises(ImportError, match=r"pip install 'poseact\[onnx\]'"):
        load_exported(made[1])
    with pytest.raises(ImportError, match=r"pip install 'poseact\[openvino\]'"):
        load_exported(made[1], runtime="openvino")


def test_openvino_gives_the_same(made: tuple[Path, Path]) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    one, other = (load_exported(made[1], runtime=r).model for r in ("onnx", "openvino"))
    a, b = one.frames(_crops(2)), other.frames(_crops(2))
    np.testing.assert_allclose(b.pose, a.pose, atol=1e-4)
    windows = tuple(np.stack([f, f])[:, [0, 1, 0]] for f in a.features)
    (found,), (expected,) = (n.actions(windows) for n in (other, one))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_command_exports_what_was_asked_for(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "cut.onnx"
    assert main(["export", str(made[0]), "-o", str(out), "--exit", "1", "1"]) == 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["cut.actions.onnx", "cut.onnx"]
    assert "poseact predict IN --weights" in capsys.readouterr().out
    assert load_exported(out).card.config["exit"] == (1, 1)
