"""The table of data sets says what their readers take."""

from __future__ import annotations

from inspect import signature

from poseact import data


def test_options_are_what_the_readers_take_beside_folder_and_split() -> None:
    assert data.OPTIONS.keys() <= data.READERS.keys()
    for kind, module in data.READERS.items():
        first, second, *others = signature(module.load).parameters
        assert (first, second) == ("root", "split")
        assert tuple(others) == data.OPTIONS.get(kind, ()), kind
