"""What is handed out is whole: the wheel and the source distribution, built from the tracked files.

The wheel is installed into an empty environment and used from an empty folder. Its dependencies are
those of the environment that runs the test, lent by path; the project itself is not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[1]
MOST_WEIGHTS = 40 << 20
"""Bytes of all weights inside the wheel, at most."""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """stdout and stderr of a command that has to succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
    return done.stdout


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of a clean copy of the tree."""
    copy = tmp_path_factory.mktemp("tree") / "poseact"
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp("dist")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "-w", folder, ".", cwd=copy)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, cwd=copy)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    (path,) = dist.glob("*.tar.gz")
    return path


def files(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def metadata(wheel: Path) -> Message:
    (name,) = [name for name in files(wheel) if name.endswith("/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


# ------------------------------------------------------------------------------------- the files


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in files(wheel) if ".dist-info/" not in name}
    source = {name.removeprefix("src/") for name in tracked() if name.startswith("src/")}
    assert inside == source
    assert "poseact/py.typed" in inside


def test_weights_are_few_bytes(wheel: Path) -> None:
    sizes = {name: size for name, size in files(wheel).items() if name.endswith(".safetensors")}
    assert sizes and sum(sizes.values()) <= MOST_WEIGHTS


def test_metadata_says_what_it_is(wheel: Path) -> None:
    about = metadata(wheel)
    extras = set(about.get_all("Provides-Extra") or ())
    assert {"keras", "coco", "detect", "logs", "all", "docs", "dev"} <= extras
    assert "Typing :: Typed" in (about.get_all("Classifier") or ())
    assert about["License-Expression"] == "Apache-2.0"
    assert {"LICENSE", "NOTICE"} <= set(about.get_all("License-File") or ())
    needed = [line.split(";")[0].strip() for line in about.get_all("Requires-Dist") or ()]
    assert not any(name.startswith(("torchvision", "mmcv", "ultralytics")) for name in needed)


def test_the_source_distribution_is_complete(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert not set(tracked()) - inside


def test_a_wheel_of_the_source_distribution_is_the_same(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "-w", tmp_path, sdist, cwd=tmp_path)
    (again,) = tmp_path.glob("*.whl")
    plain = {name for name in files(wheel) if ".dist-info/" not in name}
    assert {name for name in files(again) if ".dist-info/" not in name} == plain


# --------------------------------------------------------------------------------- it is used


@pytest.fixture(scope="session")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel; its `bin`."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A plain path: `.pth` files that lie there, such as an editable poseact's, are not followed.
    lent = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    (site / "lent.pth").write_text("".join(f"{path}\n" for path in lent))
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=folder)
    return folder / "bin"


def use(empty: Path, command: Sequence[str | Path], folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return run(*command, cwd=folder, env={**env, "OMP_WAIT_POLICY": "PASSIVE"})


def test_it_is_imported_from_the_wheel(empty: Path, tmp_path: Path) -> None:
    code = (
        "import poseact, importlib.metadata as m; print(poseact.__file__, m.version('poseact'));"
        "assert poseact.__version__ == m.version('poseact')"
    )
    said = use(empty, [empty / "python", "-c", code], tmp_path)
    assert said.startswith((str(empty.parent.resolve()), str(empty.parent)))
    assert str(ROOT / "src") not in said


def test_the_doctor_misses_nothing(empty: Path, tmp_path: Path) -> None:
    said = use(empty, [empty / "poseact", "doctor"], tmp_path)
    assert "MISSING" not in said
    assert "spnet-s" in said


def test_a_rendered_picture_is_predicted(empty: Path, tmp_path: Path) -> None:
    code = (
        "from poseact.people import PeopleConfig, render_clip\n"
        "from poseact.media.pictures import write_image\n"
        "clip = render_clip(PeopleConfig(frames=1, height=160, width=160), 0)\n"
        "write_image('person.png', clip.frames[0])\n"
    )
    use(empty, [empty / "python", "-c", code], tmp_path)
    use(empty, [empty / "poseact", "predict", "person.png", "-o", "out", "--html"], tmp_path)
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"person.jsonl", "person.png", "person.html"}
    code = (
        "import poseact\n"
        "print([len(r.people) for r in poseact.predict('person.png', people='one')])\n"
    )
    assert use(empty, [empty / "python", "-c", code], tmp_path).strip() == "[1]"
