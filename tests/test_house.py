"""The house stands: imports point down only, importing is quick, quiet and needs no extras.

python tests/test_house.py [SOURCE]     counts packages, floors and imports between packages
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "poseact"

# From the ground up. A package imports from floors below its own, never from beside or above it.
FLOORS: list[set[str]] = [
    {"core"},
    {"people", "models", "media", "results"},
    {"data"},
    {"inference"},
    {"evaluate"},
    {"train"},
    {"skeletons"},
    {"export"},
    {"web"},
    {"cli"},
]
HEIGHT = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
STRANGERS = ("data", "models")
"""Neither knows the other, though one is on a lower floor."""

# From the ground up again: a file imports from those before it. An `__init__` that is not named
# here imports nothing.
ORDER: dict[str, str] = {
    "core": """
        layouts angles types geometry camera files reading calibration typed console machine overlap
        forms
    """,
    "media": "pictures live video capture window inputs",
    "results": """
        drawing panels picture plot jsonl table angle_table intervals repetitions gaps filters page
        formats bvh neighbours __init__
    """,
    "models": """
        cards people_maps exported
        bounds layers pretrained stems multipose frames spnet_actions spnet multitask_actions
        multitask simplified
        lifter enas enas_controller densenet temporal weights shipped_models
        original/zoo original/hdf5 original/blueprints original/convert
    """,
    "people": """
        skeleton draft choreography motions retarget config bodies makehuman raster shading clothes
        backgrounds cast sensor setting scene crowd __init__
    """,
    "data": """
        mat5 archives frames augment dataset device_augment pack
        sets/coco sets/deephar sets/folder sets/h36m_cameras sets/h36m sets/jhmdb sets/lsp
        sets/mpi_inf_3dhp sets/mpii sets/ntu_skeletons sets/ntu sets/penn sets/pseudo
        sets/skeletons sets/msr3d sets/sbu sets/clips
        nobody synthetic write check tiles __init__
    """,
    "inference": """
        eager backends
        window tracking smoothing sides detector box_file look session procedures predictor
        live_session keypoint_sources jobs refine_files fleet
    """,
    "evaluate": "metrics cost views scores poses poses_3d actions benchmarks demo speed",
    "train": """
        config cached losses objective optim processes run_folder network parts checks loop
        rehearsal dry_run lr_finder curve
        recipes/published recipes/report recipes/tables recipes/shipped
        own/clips own/actions
    """,
    "skeletons": """
        keypoints triangulate triangulate_files spmf spmf_tiles gaps lift classifier
        classifier_file pipeline cells
        learn/lifter learn/search learn/search_table learn/sbu_pictures
    """,
    "export": "onnx_file graphs",
    "web": "limits decoding batching answers jobs gate metrics examples app",
    "cli": """
        terminal options unified predict live lift refine triangulate demo models import_keras
        import_stem export doctor bench data evaluate train train_actions train_lifter recipes
        search web app __init__
    """,
}
PLACE = {
    f"{package}/{name}": (HEIGHT[package], number)
    for package, names in ORDER.items()
    for number, name in enumerate(names.split())
}

RULED_OUT = {"torchvision", "timm", "torchmetrics", "mmcv", "mmpose", "kornia", "ultralytics"}
ONLY_IN = {"tyro": "cli", "rich": "cli", "av": "media"}
"""Library -> the one package that imports it."""


def files(source: Path = SOURCE) -> dict[str, Path]:
    """Name below the source folder, without .py -> path."""
    found = sorted(source.rglob("*.py"))
    return {path.relative_to(source).with_suffix("").as_posix(): path for path in found}


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, anywhere in it: also for types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def home(names: Collection[str], name: str) -> str | None:
    """The package's file behind a dotted name: a/b.py, a/b/__init__.py, or a/... for b in it."""
    first, *rest = name.split(".")
    if first != "poseact":
        return None
    inside, outside = "/".join(rest), "/".join(rest[:-1])
    candidates = (inside, f"{inside}/__init__", outside, f"{outside}/__init__")
    return next((c for c in candidates if c in names), "__init__")


def own(names: Collection[str], path: Path) -> set[str]:
    """The package's files that a file imports."""
    return {file for name in imported(path) if (file := home(names, name)) is not None}


FILES = files()
INSIDE = {name: path for name, path in FILES.items() if name not in ("__init__", "__main__")}
IMPORTS = {name: own(FILES, path) - {name} for name, path in FILES.items()}


def test_every_file_has_its_place() -> None:
    bare = {name for name in INSIDE if name.endswith("/__init__") and name not in PLACE}
    assert not [name for name in bare if list(imported(INSIDE[name]))]
    assert set(INSIDE) - bare == set(PLACE)


@pytest.mark.parametrize("name", INSIDE)
def test_imports_point_down(name: str) -> None:
    here = PLACE.get(name)
    for other in IMPORTS[name] & set(PLACE):
        assert here is not None
        below = PLACE[other] < here and (
            other.split("/")[0] == name.split("/")[0] or PLACE[other][0] < here[0]
        )
        assert below, f"{name} imports upwards: {other}"


def test_models_and_data_do_not_know_each_other() -> None:
    for name in INSIDE:
        if name.split("/")[0] in STRANGERS:
            assert {other.split("/")[0] for other in IMPORTS[name]}.isdisjoint(
                {*STRANGERS} - {name.split("/")[0]}
            ), name


@pytest.mark.parametrize("name", INSIDE)
def test_libraries_stay_in_their_package(name: str) -> None:
    for library in {full.split(".")[0] for full in imported(INSIDE[name])}:
        assert library not in RULED_OUT, f"{name} imports {library}"
        assert library not in ("experiments", "benchmarks", "tests"), f"{name} imports {library}"
        home = ONLY_IN.get(library, name.split("/")[0])
        assert name.startswith(f"{home}/"), f"{name} imports {library}"


RENAMING = {"replace", "rename", "renames", "move"}  # of os, shutil and Path
WRITING = {"write_text", "write_bytes", "save_file", "savez", "savez_compressed", "savemat"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The last name of what a file calls, and the call."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def renames(name: str, call: ast.Call) -> bool:
    """os.replace(a, b), Path.rename(b) and the like; not str.replace, not dataclasses.replace."""
    if name not in RENAMING or not isinstance(call.func, ast.Attribute) or call.keywords:
        return False
    of_module = getattr(call.func.value, "id", "") in ("os", "shutil")
    return of_module or (len(call.args) == 1 and name != "move")


def opens_to_write(name: str, call: ast.Call) -> bool:
    modes = [a.value for a in call.args[-1:] if isinstance(a, ast.Constant)]
    return name == "open" and any(str(mode).startswith(("w", "x")) for mode in modes)


@pytest.mark.parametrize("name", sorted(set(INSIDE) - {"core/files"}))
def test_files_are_written_by_one_file(name: str) -> None:
    """A half-written file is never seen: `core.files` gives temporary names and changes them."""
    found = list(calls(INSIDE[name]))
    assert not [called for called, call in found if renames(called, call)]
    if any(called in WRITING or opens_to_write(called, call) for called, call in found):
        assert "core/files" in IMPORTS[name]


@pytest.mark.parametrize("name", INSIDE)
def test_only_the_version_is_known_of_the_face(name: str) -> None:
    """What `poseact/__init__.py` offers to users is imported from where it is."""
    known = {full for full in imported(INSIDE[name]) if home(FILES, full) == "__init__"}
    assert known <= {"poseact", "poseact.__version__"}


@pytest.mark.parametrize("name", [name for name in INSIDE if not name.startswith("cli/")])
def test_only_the_command_line_prints(name: str) -> None:
    """The others say what they do to the `core.console.Console` that they are given."""
    for node in ast.walk(ast.parse(INSIDE[name].read_text())):
        assert not (isinstance(node, ast.Name) and node.id == "print"), f"line {node.lineno}"
        said = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
        assert not said, f"line {node.lineno}"


# ------------------------------------------------------------------------------- importing


def python(code: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, **kwargs
    )


def importing(packages: Sequence[str], *, without: Sequence[str] = ()) -> str:
    """Code that imports every file of the packages where some libraries cannot be imported."""
    names = sorted(name for name in INSIDE if name.split("/")[0] in packages)
    dotted = [f"poseact.{name.removesuffix('/__init__').replace('/', '.')}" for name in names]
    blocked = [f"sys.modules[{library!r}] = None" for library in without]
    return "\n".join(["import sys", *blocked, *(f"import {name}" for name in dotted)])


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
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + importing(list(ORDER))
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_training_imports_without_video_and_command_line() -> None:
    done = python(importing(["train"], without=["av", "tyro"]))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["core", "results"])
def test_some_packages_need_no_torch(package: str) -> None:
    done = python(importing([package], without=["torch"]))
    assert done.returncode == 0, done.stderr


def test_files_are_of_a_readable_length() -> None:
    long = {str(p): n for p in FILES.values() if (n := len(p.read_text().splitlines())) > 500}
    assert not long


# ------------------------------------------------------------------------------- counting


def depth(below: dict[str, set[str]]) -> tuple[int, int]:
    """Floors, the longest way down through what is given; and circles, which count as one floor."""
    reached = {name: {name} for name in below}
    for _ in below:
        for name, others in below.items():
            reached[name] |= set().union(*(reached[o] for o in others), set())
    same = {name: frozenset(o for o in reached[name] if name in reached[o]) for name in below}
    floors: dict[frozenset[str], int] = {}

    def floor(group: frozenset[str]) -> int:
        if group not in floors:
            lower = {same[o] for name in group for o in below[name]} - {group}
            floors[group] = 1 + max(map(floor, lower), default=0)
        return floors[group]

    return max(map(floor, set(same.values()))), sum(len(group) > 1 for group in set(same.values()))


def walk(source: Path) -> str:
    """What stands in the source folder, on how many floors, tied by how many imports."""
    names = files(source)
    face = {"__init__", "__main__"}
    imports = {name: own(names, path) - {name} - face for name, path in names.items()}
    packages = {name: name.split("/")[0] for name in names if name not in face}
    across = {
        (name, other)
        for name, package in packages.items()
        for other in imports[name]
        if packages[other] != package
    }
    between = {package: set[str]() for package in packages.values()}
    for name, other in across:
        between[packages[name]].add(packages[other])
    floors, circles = depth(between)
    _, of_files = depth({name: imports[name] for name in packages})
    return (
        f"{len(between)} packages and files side by side, {floors} floors, {circles} circles; "
        f"{len(packages)} files, {of_files} circles; {len(across)} imports between packages, "
        f"{sum(len(imports[name]) for name in packages)} in all"
    )


if __name__ == "__main__":
    print(walk(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE))
