"""The documentation holds: its commands run, its links lead somewhere, its words fit the code."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import poseact
from poseact.cli.app import main, parse
from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.results.jsonl import SCHEMA, ResultsWriter
from run_page import blocks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FIRST = [README, *sorted((ROOT / "docs/tutorials").glob("*.md"))]
RUNNABLE = [
    *FIRST,
    ROOT / "docs/how-to/add_a_data_set.md",
    ROOT / "docs/how-to/add_a_network.md",
    ROOT / "docs/how-to/formats.md",
    ROOT / "docs/how-to/many_videos.md",
]


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# ----------------------------------------------------------------------------- commands that run


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as a newcomer has it: the tracked files, nothing else."""
    folder = tmp_path_factory.mktemp("clone") / "poseact"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).hardlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered person who walks, as a video of twelve frames."""
    from poseact.media.video import VideoWriter
    from poseact.people import PeopleConfig, render_clip

    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    config = PeopleConfig(frames=12, fps=12.0, height=160, width=160, actions=("walk",))
    with VideoWriter(path, fps=12, size=(160, 160)) as video:
        for rgb in render_clip(config, 0).frames:
            video.write(rgb)
    return path


@pytest.mark.docs
@pytest.mark.parametrize("page", RUNNABLE, ids=page_name)
def test_every_block_of_the_page_runs(page: Path, tree: Path, clip: Path, tmp_path: Path) -> None:
    if page == README:  # is read inside the clone, tutorials beside it
        folder = tree
    else:
        folder = tmp_path / "empty"
        folder.mkdir()
        (folder / "poseact").symlink_to(tree)
    if page.parent.name == "how-to":
        (folder / "videos").mkdir()
        for name in ("walk.mp4", "videos/a.mp4", "videos/b.mp4"):
            (folder / name).symlink_to(clip)
    src = f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": src, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/run_page.py"), str(page)],
        cwd=folder,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("page", FIRST, ids=page_name)
def test_no_block_escapes(page: Path) -> None:
    known = {"bash", "python", "text", "json"}
    assert [line for language, line, _ in blocks(page) if language not in known] == []


# --------------------------------------------------------------------------- commands that parse


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every `poseact ...` in the blocks of a page, with its arguments."""
    for language, _, text in blocks(page):
        if language not in ("", "bash"):
            continue
        for line in text.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:^|\|\| |&& |srun |-m |-I \{\} )poseact (.*)", line.strip()):
                words = shlex.split(found[1], comments=True)
                ends = [k for k, word in enumerate(words) if word in ("|", ">", ";", "&&")]
                yield line.strip(), words[: min(ends, default=None)]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_of_the_page_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, args in commands(page):
        if "..." in args or args == ["--version"]:
            continue
        try:
            parse(args)
        except SystemExit as stop:
            assert not stop.code, f"{line}\n{capsys.readouterr().err}"


def test_commands_are_found() -> None:
    assert sum(len(list(commands(page))) for page in PAGES) > 80


# --------------------------------------------------------------------------------- what they say


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_pictures_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_that_are_named_are_there(page: Path) -> None:
    """In the repository (`tests/...`, `runs/...`), or in the package, without `src/poseact/`."""
    folders = "|".join(p.name for p in (ROOT / "src" / "poseact").iterdir() if p.is_dir())
    named = set(re.findall(rf"`((?:{folders})/[\w/]+\.py)`", page.read_text()))
    assert not {name for name in named if not (ROOT / "src" / "poseact" / name).exists()}
    tops = "tests|runs|benchmarks|experiments|tools|src"
    named = set(re.findall(rf"\b((?:{tops})/[\w/]+\.(?:py|sh))\b", page.read_text()))
    assert not {name for name in named if not (ROOT / name).exists() and "NAME" not in name}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_tests_that_are_named_are_there(page: Path) -> None:
    """`tests/file.py::test_name` and `tests/file.py::TestClass::test_name`."""
    for file, names in re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)+)`", page.read_text()):
        text = (ROOT / file).read_text()
        for name in names.split("::")[1:]:
            assert re.search(rf"^ *(def|class) {name}\b", text, re.M), f"{file} has no {name}"


def test_the_readme_is_short_and_its_numbers_are_the_cards() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 110
    table = text.split("<!-- numbers -->\n")[1].split("<!-- end -->")[0]
    cards = [page.read_text() for page in (ROOT / "docs/reference/models").glob("*.md")]
    assert any(table in card for card in cards)


def test_every_package_has_a_page_of_its_interface() -> None:
    source = ROOT / "src" / "poseact"
    packages = {path.parent.relative_to(source) for path in source.rglob("__init__.py")}
    pages = "\n".join(page.read_text() for page in (ROOT / "docs/reference/api").glob("*.md"))
    listed = set(re.findall(r"^::: poseact\.(\w+)$", pages, re.MULTILINE))
    assert {path.parts[0] for path in packages if path.parts} - {"cli"} == listed


def test_versions_agree(capsys: pytest.CaptureFixture[str]) -> None:
    version = poseact.__version__
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(\d.*?)\]", changes, re.MULTILINE)[0] == version
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"poseact {version}\n"


def test_extras_that_messages_name_are_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    extras = text.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    known = set(re.findall(r"^(\w+) = \[", extras, re.MULTILINE))
    files = [*(ROOT / "src").rglob("*.py"), *PAGES]
    named = {n for f in files for n in re.findall(r"poseact\[([\w]+)\]", f.read_text())}
    assert named and named <= known


# --------------------------------------------------------------------------- the results' schema


@pytest.mark.parametrize("known", [True, False])
def test_results_follow_the_published_schema(tmp_path: Path, *, known: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs/reference/poseact-1.schema.json").read_text())
    assert schema["$defs"]["header"]["properties"]["schema"]["const"] == SCHEMA
    xy = np.full((17, 2), 3.5 if known else np.nan)
    person = Person(
        xy,
        np.zeros((17, 3)) if known else None,
        np.ones(17),
        np.array([0, 0, 9, 9]) if known else np.full(4, np.nan),
        PA17,
        action=np.array([0.25, 0.75]) if known else None,
    )
    path = tmp_path / "a.jsonl"
    about = {"fps": 24.0, "size": (64, 48)} if known else {}
    with ResultsWriter(path, layout=PA17, labels=("a", "b"), **about) as file:
        file.write(Result(0, 0.0, (person, person), ("a", "b")))
        file.write(Result(2, 0.1, ()))
    check = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        check.validate(line)
    described = {**schema["$defs"]["header"]["properties"]}
    assert lines[0].keys() == described.keys()
    assert lines[1]["people"][0].keys() == schema["$defs"]["person"]["properties"].keys()
    assert not check.is_valid({**lines[1], "frame": -1})
