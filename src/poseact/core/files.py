"""Writing files: under a temporary name in the same folder, which is changed when all is written.

A reader sees the old file or the new one, never half of one, and an error leaves nothing behind.
What a killed process left is hidden (.NAME.PID.part); the next one to write there removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

# The system does not say which file the disk was full for.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Unfinished:
    """A file that is written as `part` until `finish` gives it its name or `drop` removes it.

    For writers that outlive a `with` block; else `whole_file`. Its folder is made, its mode is that
    of a new file, whatever a library makes of `part`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.part = _part(self.path)
        _make_folder(self.path.parent)
        _remove_abandoned(self.path.parent.absolute())
        with self.named():
            self.part.unlink(missing_ok=True)
            self.part.touch()
            self._mode = self.part.stat().st_mode

    def named(self) -> AbstractContextManager[None]:
        """While something is written: errors about `part`, or a full disk, name the file."""
        return _named(self.path, self.part)

    def finish(self) -> None:
        with self.named():
            self.part.chmod(self._mode)
            os.replace(self.part, self.path)

    def drop(self) -> None:
        """Remove what was written, unless it is finished."""
        self.part.unlink(missing_ok=True)


def same_file(out: str | Path, source: str | Path) -> bool:
    """Whether an output is the very file that is read."""
    return Path(out).exists() and Path(source).exists() and Path(out).samefile(source)


def check_not_input(out: str | Path, source: str | Path) -> None:
    """ValueError if an output is the very file that is read."""
    if same_file(out, source):
        raise ValueError(f"{out} would overwrite its own input; give another name or folder")


def _make_folder(path: Path) -> None:
    """With its parents; an error names the one that is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(p for p in (path, *path.parents) if p.exists())
        raise NotADirectoryError(
            f"{file} is a file and no folder: nothing can be written in it"
        ) from error


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` if the block ends well.

    OSError of the writing names `path`, not the temporary name.
    """
    unfinished = Unfinished(path)
    try:
        with unfinished.named():
            yield unfinished.part
        unfinished.finish()
    finally:
        unfinished.drop()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `path` if the block ends well.

    OSError if by then `path` is anything but missing or an empty folder.
    """
    path = Path(path)
    part = _part(path)
    _remove_abandoned(path.parent.absolute())
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with _named(path, part):
            yield part
            if path.is_dir():
                path.rmdir()
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def keep_former(path: Path, former: Path) -> None:
    """What is in `path`, if there is such a file, is in `former`, too, until it is written anew."""
    if path.is_file() and not same_file(former, path):  # a link to itself is not renamed
        part = _part(former)
        part.unlink(missing_ok=True)
        try:
            os.link(path, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, part)
        os.replace(part, former)


def write_bytes(path: str | Path, data: bytes) -> None:
    with whole_file(path) as part:
        part.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """In UTF-8, lines end as they do in `text`."""
    write_bytes(path, text.encode("utf-8"))


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder that nobody else is writing to."""
    for left in folder.glob(".*.part"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


@cache
def _remove_abandoned(folder: Path) -> None:
    """What processes of this machine that are no more left in a folder; once a process."""
    for left in folder.glob(".*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and not _runs(int(pid)):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _runs(pid: int) -> bool:
    if os.name == "nt":  # to ask there is to end it
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextmanager
def _named(path: Path, part: Path) -> Iterator[None]:
    """Errors about `part`, or a full disk, name `path`."""
    try:
        yield
    except OSError as error:
        if str(error.filename) != str(part) and not (error.errno in _FULL and not error.filename):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
