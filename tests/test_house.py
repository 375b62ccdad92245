"""The house stands: imports point down only, importing is quick, quiet and needs no extras."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "poseact"

# From the ground up. A module imports from its own floor or below, never from above.
FLOORS = [
    {"layouts"},
    {"types"},
    {"geometry"},
    {"layers", "camera"},
    {"people", "spmf", "losses", "metrics", "video", "draw", "draw_cells", "plot"} | {"results"},
    {"data", "models", "track", "finder", "weights", "keras_import", "keras_configs", "zoo"}
    | {"exports"},
    {"stream"},
    {"predictor", "protocols", "lift_data", "keypoint_files"},
    {"evaluate", "run_folder", "run_config", "learning", "objective", "recognition"}
    | {"processes", "held_out", "turns", "starting"},
    {"benchmarks"},
    {"train", "lifting", "lift_sheet", "search", "search_table"},
    {"recipes", "published", "tables", "dry_run", "dev_run", "lr_finder", "training_curve"},
    {"ablation"},
    {"demo", "doctor", "predict_files", "lift_files", "lift_command", "console"}
    | {"data_commands", "search_command", "own_clips", "own_actions"}
    | {"detectors", "unified", "unified_command", "lifted_actions"},
    {"cli", "__init__", "__main__"},
]
HEIGHT = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
RULED_OUT = {"torchvision", "timm", "torchmetrics", "mmcv", "mmpose", "kornia", "ultralytics"}


def room(path: Path) -> str:
    inside = path.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere but under `if TYPE_CHECKING`."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(SOURCE.rglob("*.py"))


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES} <= set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = HEIGHT[room(path)]
    for name in imported(path):
        assert name.split(".")[0] not in RULED_OUT, f"{path.name} imports {name}"
        parts = name.split(".")
        if parts[0] == "poseact" and len(parts) > 1 and parts[1] in HEIGHT:
            assert HEIGHT[parts[1]] <= here, f"{path.name} imports upwards: {name}"


@pytest.mark.parametrize(("below", "above"), [("models", "data"), ("data", "models")])
def test_models_and_data_do_not_know_each_other(below: str, above: str) -> None:
    for path in FILES:
        if room(path) == below:
            assert not any(name.startswith(f"poseact.{above}") for name in imported(path)), path


def python(code: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, **kwargs
    )


def test_importing_is_quick_and_quiet() -> None:
    code = (
        "import torch, time; t = time.process_time(); import poseact;print(time.process_time() - t)"
    )
    done = python(code)
    assert done.returncode == 0 and done.stderr == ""
    assert float(done.stdout) < 0.3


def test_public_names_are_there() -> None:
    done = python(
        "import poseact; print([getattr(poseact, n) is not None for n in poseact.__all__])"
    )
    assert done.returncode == 0, done.stderr
    assert "False" not in done.stdout


def test_works_with_a_broken_torchvision(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('broken torchvision')"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); " + "; ".join(
        f"import poseact.{name}" for name in sorted(HEIGHT) if name not in ("__init__", "__main__")
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_training_imports_without_video_and_command_line() -> None:
    code = "import sys; sys.modules['av'] = sys.modules['tyro'] = None; import poseact.train.recipes.shipped"
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_files_are_of_a_readable_length() -> None:
    long = {str(p): n for p in FILES if (n := len(p.read_text().splitlines())) > 500}
    assert not long
