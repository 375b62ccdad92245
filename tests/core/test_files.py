"""An output is there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from poseact.core.files import (
    Unfinished,
    keep_former,
    remove_unfinished,
    whole_file,
    whole_folder,
    write_bytes,
    write_text,
)


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "ä\r\nb\n")
    assert path.read_bytes() == "ä\r\nb\n".encode()
    write_bytes(path, b"\x00\n")
    assert path.read_bytes() == b"\x00\n"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with whole_file(path) as part:
        assert part.parent == tmp_path and part.name.startswith(".")
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyError), whole_file(path) as part:
        part.write_text("half")
        raise KeyError("stop")
    with pytest.raises(KeyError), whole_folder(tmp_path / "folder") as part:
        (part / "half").touch()
        raise KeyError("stop")
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    """Also from a library that makes files which only their owner may read."""
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a.safetensors") as part:
            save_file({"a": torch.zeros(1)}, part)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o640


def test_an_error_of_the_system_names_the_output(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(IsADirectoryError) as folder:
        write_text(taken, "a")
    assert folder.value.filename == str(taken)
    with pytest.raises(FileNotFoundError) as gone, whole_file(tmp_path / "a") as part:
        part.unlink()
        part.read_bytes()
    assert gone.value.filename == str(tmp_path / "a")
    with pytest.raises(OSError, match="full") as full, whole_file(tmp_path / "b"):
        raise OSError(errno.ENOSPC, "the disk is full")
    assert full.value.filename == str(tmp_path / "b")
    with pytest.raises(FileNotFoundError) as other, whole_file(tmp_path / "c"):
        (tmp_path / "source").read_bytes()
    assert other.value.filename == str(tmp_path / "source")
    assert list(tmp_path.iterdir()) == [taken]


def test_a_folder_appears_when_it_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "folder"
    with whole_folder(out) as part:
        write_text(part / "a", "1")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]


def test_a_folder_takes_the_place_of_an_empty_one_only(tmp_path: Path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    with whole_folder(out) as part:
        write_text(part / "a", "1")
    with pytest.raises(OSError, match="folder"), whole_folder(out) as part:
        write_text(part / "b", "2")
    assert [path.name for path in out.iterdir()] == ["a"] and list(tmp_path.iterdir()) == [out]


def test_a_long_writer_finishes_or_drops(tmp_path: Path) -> None:
    kept, dropped = Unfinished(tmp_path / "kept"), Unfinished(tmp_path / "dropped")
    for output in (kept, dropped):
        output.part.write_text("all")
    kept.finish()
    kept.drop()
    dropped.drop()
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]


def test_what_a_killed_process_left_can_be_removed(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "1")
    Unfinished(tmp_path / "a").part.write_text("half")
    (tmp_path / ".folder.12.part").mkdir()
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom poseact.core.files import *\n"
        "Unfinished(Path(sys.argv[1], 'a.txt')).part.write_text('half')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    (left,) = tmp_path.iterdir()
    mine = Unfinished(tmp_path / "b.txt")  # of a process that runs
    assert list(tmp_path.iterdir()) == [mine.part] and left != mine.part
    mine.drop()


@pytest.mark.parametrize("name", ["file/a.txt", "file/deeper/a.txt"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file is a file and no folder"):
        write_text(tmp_path / name, "y")
    assert (tmp_path / "file").read_text() == "x"


def test_a_former_file_is_kept_once_and_leaves_no_link_of_itself(tmp_path: Path) -> None:
    now, before = tmp_path / "a", tmp_path / "a.previous"
    keep_former(now, before)
    assert not list(tmp_path.iterdir())
    for text in ("1", "2"):
        write_text(now, text)
        for _ in range(2):  # the second time they are one file
            keep_former(now, before)
        assert sorted(tmp_path.iterdir()) == [now, before]
    write_text(now, "3")
    assert before.read_text() == "2"
