"""Dataclasses from JSON, every value of the type that its field says."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

_Former = Mapping[str, Mapping[str, str]]


def typed(kind: Any, value: Any, *, former: _Former = types.MappingProxyType({})) -> Any:
    """A JSON value as the dataclass, tuple, optional or plain type that a type hint names.

    former: of a dataclass, by its name, fields by names that they had before. ValueError says which
    value is of which type instead, or which field is not known.

    >>> typed(tuple[int, ...], [1, 2])
    (1, 2)
    """
    return _typed(kind, value, "value", former)


def check_types(config: Any) -> None:
    """ValueError if a field of a dataclass holds anything but what its type says."""
    name = type(config).__name__
    for field, kind in _hints(type(config)).items():
        _typed(kind, getattr(config, field), f"{name}.{field}", {})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(kind: Any, value: Any, where: str, former: _Former) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(args, value, where, former)
    if origin is Literal:
        if not any(type(value) is type(arg) and value == arg for arg in args):
            raise ValueError(f"{where} is {' or '.join(map(repr, args))}, got {value!r:.60}")
        return value
    if origin is tuple:
        _check(isinstance(value, list | tuple), where, "a list", value)
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        _check(len(inner) == len(value), where, f"a list of {len(inner)}", value)
        return tuple(_typed(k, v, where, former) for k, v in zip(inner, value))
    if origin is dict:
        _check(isinstance(value, dict), where, "an object", value)
        return {name: _typed(args[1], v, f"{where}.{name}", former) for name, v in value.items()}
    if dataclasses.is_dataclass(kind):
        whole = isinstance(value, typing.cast(type, kind))
        return value if whole else _filled(kind, value, where, former)
    if kind is float:
        _check(type(value) in (int, float), where, "a number", value)
    elif kind in (int, str, bool):
        _check(type(value) is kind, where, kind.__name__, value)
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, where: str, former: _Former) -> Any:
    """Of several dataclasses it is the one that knows all fields; an error names the first."""
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if len(kinds) > 1 and isinstance(value, dict) and dataclasses.is_dataclass(kinds[0]):
        kinds = tuple(k for k in kinds if value.keys() <= _hints(k).keys()) or kinds
        return _typed(kinds[0], value, where, former)
    errors = []
    for kind in kinds:
        try:
            return _typed(kind, value, where, former)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _filled(kind: Any, value: Any, where: str, former: _Former) -> Any:
    name = kind.__name__
    _check(isinstance(value, dict), where, f"the fields of {name}", value)
    hints, renamed = _hints(kind), former.get(name, {})
    value = {renamed.get(field, field): v for field, v in value.items()}
    if strange := sorted(map(str, value.keys() - hints.keys())):
        raise ValueError(f"{name} has no field {strange}")
    needed = {
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if missing := sorted(needed - value.keys()):
        raise ValueError(f"{name} lacks {missing}")
    return kind(
        **{field: _typed(hints[field], v, f"{name}.{field}", former) for field, v in value.items()}
    )


def _check(fits: bool, where: str, wanted: str, value: Any) -> None:
    if not fits:
        raise ValueError(f"{where} is {wanted}, got {value!r:.60}")
