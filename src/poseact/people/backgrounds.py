"""What is around a person: textures, views, rooms, furniture; made in code or cut from photos.

Pictures are coded with a square root of linear light (gamma 2), uint8 RGB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from poseact.people.clothes import cloth_colour, material

TEXTURE_PX = 128
TEXTURE_LEVELS = 5  # each half as sharp as the one before
TEXTURE_POOL = 64  # textures made in code, per split
_PHOTO_TYPES = (".jpg", ".jpeg", ".png")


# ---------------------------------------------------------------------- photos
@dataclass(frozen=True)
class Photos:
    """Files of a folder of pictures: `views` go behind people, `textures` on floors and walls."""

    views: tuple[str, ...]
    textures: tuple[str, ...]


@lru_cache(maxsize=16)
def find_photos(folder: str, split: str) -> Photos:
    """Search a folder for photos and keep the share of one split.

    A file under a directory whose name contains "texture" tiles floors and walls; every other one
    is a view. Files whose names differ only in their last number (views of one place) share a
    split: 8 of 10 places train, 1 val, 1 test; a folder too small for that serves all splits.
    Raises FileNotFoundError if there is no such folder, ValueError if it holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(
            f"no background folder at {folder}; give a folder of photos, or None for made ones"
        )
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in _PHOTO_TYPES)
    if not files:
        raise ValueError(f"{folder} holds no .jpg or .png; give a folder of photos without people")
    is_texture = [any("texture" in part for part in p.relative_to(root).parts[:-1]) for p in files]
    views = [str(p) for p, texture in zip(files, is_texture) if not texture]
    textures = [str(p) for p, texture in zip(files, is_texture) if texture]
    return Photos(_share(views, split), _share(textures, split))


def _share(files: list[str], split: str) -> tuple[str, ...]:
    wanted = {"train": range(8), "val": (8,), "test": (9,)}[split]
    places = [zlib.crc32(Path(f).stem.rstrip("0123456789").encode()) % 10 for f in files]
    return tuple(f for f, place in zip(files, places) if place in wanted) or tuple(files)


@lru_cache(maxsize=512)
def read_photo(path: str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB. Raises ValueError if it cannot be decoded."""
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot read the background {path}; remove it from the folder")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


# ---------------------------------------------------------------------- textures
@lru_cache(maxsize=256)
def photo_texture(path: str) -> UInt8[np.ndarray, "levels s s 3"]:
    """A tile from a photo, at all levels of sharpness."""
    size = (TEXTURE_PX, TEXTURE_PX)
    return _levels(np.asarray(cv2.resize(read_photo(path), size, interpolation=cv2.INTER_AREA)))


@lru_cache(maxsize=256)
def made_texture(surface: str, split: int, number: int) -> UInt8[np.ndarray, "levels s s 3"]:
    """A tile made in code for a "floor", "ground" or "wall", at all levels of sharpness."""
    rng = np.random.default_rng(np.random.SeedSequence([7, split, number, len(surface)]))
    makers = {
        "floor": (_planks, _tiles, _grain, _planks),
        "ground": (_grain, _grass, _grain, _tiles),
        "wall": (_plaster, _bricks, _plaster, _stripes, _plaster),
    }[surface]
    picture = makers[number % len(makers)](rng)
    return _levels((255 * np.clip(picture, 0, 1)).astype(np.uint8))


def _levels(picture: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "levels s s 3"]:
    levels = [picture]
    for level in range(1, TEXTURE_LEVELS):
        small = TEXTURE_PX >> level
        shrunk = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        wrapped = cv2.copyMakeBorder(shrunk, 1, 1, 1, 1, cv2.BORDER_WRAP)
        step = TEXTURE_PX // small
        grown = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
        levels.append(grown[step:-step, step:-step])
    return np.ascontiguousarray(np.stack(levels))


def fractal(
    rng: np.random.Generator, height: int, width: int, *, roughness: float = 0.55, first: int = 2
) -> Float[np.ndarray, "h w"]:
    """Noise whose octaves lose amplitude like those of photos; about unit range, mean near 0."""
    total = np.zeros((height, width), np.float32)
    cells, amplitude = first, 0.5
    while cells < max(height, width):
        rows = max(2, round(cells * height / max(height, width)))
        coarse = rng.normal(0, 1, (rows + 1, cells + 1)).astype(np.float32)
        total += amplitude * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, amplitude = cells * 2, amplitude * roughness
    return total


def _tiling_noise(rng: np.random.Generator, blur_px: float, *, stretch: float = 1.0) -> np.ndarray:
    """Noise of unit variance that tiles, blurred by `blur_px` and `stretch` times that along x."""
    white = rng.normal(0, 1, (TEXTURE_PX, TEXTURE_PX)).astype(np.float32)
    pad = TEXTURE_PX // 2
    wrapped = cv2.copyMakeBorder(white, pad, pad, pad, pad, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=blur_px * stretch, sigmaY=blur_px)
    smooth = smooth[pad:-pad, pad:-pad]
    return smooth / smooth.std()


def _earthy(rng: np.random.Generator, low: float = 0.3, high: float = 0.8) -> np.ndarray:
    """A muted colour of building materials, gamma 2."""
    return rng.uniform(low, high) * (1 + np.array([0.14, 0.03, -0.14]) * rng.uniform(-0.6, 1.2))


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Concrete, asphalt, carpet, sand."""
    noise = 0.5 * _tiling_noise(rng, 0.6) + 0.5 * _tiling_noise(rng, rng.uniform(4, 14))
    return _earthy(rng)[None, None] * (1 + rng.uniform(0.04, 0.13) * noise[..., None])


def _grass(rng: np.random.Generator) -> np.ndarray:
    colour = np.array([0.38, 0.47, 0.22]) * rng.uniform(0.8, 1.3) + rng.normal(0, 0.03, 3)
    noise = 0.7 * _tiling_noise(rng, 0.7) + 0.5 * _tiling_noise(rng, 7)
    return colour * (1 + 0.16 * noise[..., None])


def _plaster(rng: np.random.Generator) -> np.ndarray:
    colour = _earthy(rng, 0.6, 0.95) if rng.random() < 0.7 else 0.4 + 0.5 * cloth_colour(rng)
    noise = 0.3 * _tiling_noise(rng, 0.8) + 0.7 * _tiling_noise(rng, 12)
    return colour * (1 + rng.uniform(0.01, 0.04) * noise[..., None])


def _stripes(rng: np.random.Generator) -> np.ndarray:
    """Wallpaper, panels."""
    colour = _earthy(rng, 0.5, 0.9)
    period = int(rng.choice([8, 16, 32, 64]))
    wave = (np.arange(TEXTURE_PX) % period < period * rng.uniform(0.1, 0.6)).astype(float)
    tile = 1 - rng.uniform(0.05, 0.25) * wave[None, :, None]
    return colour * tile * (1 + 0.02 * _tiling_noise(rng, 1)[..., None])


def _planks(rng: np.random.Generator) -> np.ndarray:
    rows = int(rng.choice([4, 8, 16]))
    high = TEXTURE_PX // rows
    wood = np.array([0.66, 0.5, 0.36]) * rng.uniform(0.6, 1.25) + rng.normal(0, 0.03, 3)
    noise = _tiling_noise(rng, 0.8, stretch=12)
    tone = np.repeat(rng.normal(0, 0.07, rows), high)[:, None] + 0.05 * noise
    for row in range(rows):
        y, x = row * high, int(rng.integers(TEXTURE_PX))
        tone[y] -= 0.2
        tone[y : y + high, x] -= 0.2
    return wood * (1 + tone[..., None])


def _joints(rng: np.random.Generator, rows: int, columns: int, *, bond: bool) -> np.ndarray:
    """Light of a wall of stones: a tone each and dark or light joints between them."""
    high, wide = TEXTURE_PX // rows, TEXTURE_PX // columns
    tone = np.kron(rng.normal(0, 0.05, (rows, columns)), np.ones((high, wide)))
    joint = rng.choice([-0.3, 0.2])
    tone[:, ::wide] = joint
    if bond:
        for row in range(1, rows, 2):
            band = slice(row * high, (row + 1) * high)
            tone[band] = np.roll(tone[band], wide // 2, axis=1)
    tone[::high] = joint
    return tone + 0.025 * _tiling_noise(rng, 1)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([2, 4, 8]))
    tone = _joints(rng, count, count, bond=False)
    if rng.random() < 0.3:  # chequered
        board = np.indices((count, count)).sum(0) % 2
        tone += rng.uniform(0.1, 0.35) * (np.kron(board, np.ones((TEXTURE_PX // count,) * 2)) - 0.5)
    return _earthy(rng, 0.45, 0.85) * (1 + tone[..., None])


def _bricks(rng: np.random.Generator) -> np.ndarray:
    red = np.array([0.62, 0.4, 0.32]) * rng.uniform(0.7, 1.2)
    colour = red if rng.random() < 0.5 else _earthy(rng, 0.5, 0.9)
    return colour * (1 + _joints(rng, int(rng.choice([8, 16])), 4, bond=True)[..., None])


# ---------------------------------------------------------------------- views
def photo_view(
    rng: np.random.Generator, path: str, height: int, width: int
) -> Float[np.ndarray, "h w 3"]:
    """A random part of a photo at the frame's size, mirrored or not; linear light."""
    photo = read_photo(path)
    scale = min(photo.shape[0] / height, photo.shape[1] / width) * rng.uniform(0.55, 1.0)
    h, w = max(int(height * scale), 2), max(int(width * scale), 2)
    y = int(rng.integers(0, photo.shape[0] - h + 1))
    x = int(rng.integers(0, photo.shape[1] - w + 1))
    part = photo[y : y + h, x : x + w]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    way = cv2.INTER_AREA if h > height else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=way)
    return np.square(resized.astype(np.float32) / 255)


def made_view(rng: np.random.Generator, height: int, width: int) -> Float[np.ndarray, "h w 3"]:
    """A wall or a landscape out of focus, made in code; linear light."""
    if rng.random() < 0.4:
        return landscape(rng, height, width, horizon=rng.uniform(0.3, 0.7) * height, roll=0.0)
    view = np.empty((height, width, 3), np.float32)
    view[:] = _earthy(rng, 0.35, 0.9)
    slope = np.linspace(-1, 1, width)[None] * rng.normal(0, 0.12)
    slope = slope + np.linspace(-1, 1, height)[:, None] * rng.normal(0, 0.12)
    view *= (1 + slope + rng.uniform(0.02, 0.12) * fractal(rng, height, width))[..., None]
    for _ in range(rng.integers(0, 9)):
        _place_object(view, rng)
    blur = rng.uniform(0, 0.02) * height
    view = cv2.GaussianBlur(view, (0, 0), blur) if blur > 0.4 else view
    return np.square(np.clip(view, 0, 1))


def _place_object(view: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a door, a shelf, a picture or the like, textured and shaded, into `view`."""
    height, width = view.shape[:2]
    h, w = (rng.uniform(0.06, 0.5, 2) * (height, width)).astype(int) + 2
    y, x = int(rng.integers(-h // 2, height)), int(rng.integers(-w // 2, width))
    box = view[max(y, 0) : y + h, max(x, 0) : x + w]
    if box.size == 0:
        return
    colour = _earthy(rng, 0.15, 0.9) if rng.random() < 0.6 else cloth_colour(rng)
    rough = rng.uniform(0.02, 0.35) * fractal(rng, *box.shape[:2], first=3)
    ramp = np.linspace(-1, 1, box.shape[1])[None] * rng.normal(0, 0.1)
    box[:] = colour * (1 + rough + ramp)[..., None]
    if rng.random() < 0.4:  # shelves or panes
        step = int(rng.integers(3, max(4, box.shape[0] // 2)))
        box[::step] *= rng.uniform(0.4, 0.8)
    if rng.random() < 0.5:
        cv2.rectangle(view, (x, y), (x + int(w), y + int(h)), tuple(0.4 * colour), 1)


def landscape(
    rng: np.random.Generator, height: int, width: int, *, horizon: float, roll: float
) -> Float[np.ndarray, "h w 3"]:
    """Sky, clouds and a skyline of hills or houses over hazy ground; linear light.

    `horizon` is the row (px) at the middle column, `roll` the camera's roll in radians.
    """
    side = int(1.5 * max(height, width))
    up = np.linspace(1, -1, 2 * side)[:, None, None]  # 1 at the top, 0 at the horizon
    zenith, rim = _sky_colours(rng)
    sky = rim + (zenith - rim) * np.clip(up, 0, 1) ** 0.6
    far = np.broadcast_to(sky, (2 * side, side, 3)).astype(np.float32).copy()
    clouds = np.clip(
        fractal(rng, 2 * side, side, roughness=0.6, first=4) - rng.uniform(-0.2, 0.9), 0, 1
    )
    far += (0.92 - far) * (clouds * rng.uniform(0.2, 0.9))[..., None]
    ground = _earthy(rng, 0.35, 0.6)
    far[side:] = ground
    for layer in range(int(rng.integers(1, 4))):
        _skyline(far, rng, side, haze=0.6 - 0.25 * layer, rim=rim)
    far *= (1 + rng.uniform(0.02, 0.08) * fractal(rng, 2 * side, side, first=8))[..., None]
    turn = cv2.getRotationMatrix2D((side / 2, float(side)), np.degrees(roll), 1.0)
    turn[:, 2] += (width / 2 - side / 2, horizon - side)
    view = cv2.warpAffine(far, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    blur = rng.uniform(0.0, 0.012) * height
    view = cv2.GaussianBlur(view, (0, 0), blur) if blur > 0.4 else view
    return np.square(np.clip(view, 0, 1))


def _sky_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    weather = rng.choice(["blue", "grey", "evening"], p=[0.5, 0.38, 0.12])
    if weather == "blue":
        return np.array([0.38, 0.57, 0.85]) * rng.uniform(0.8, 1.1), np.array([0.8, 0.88, 0.94])
    if weather == "grey":
        tone = rng.uniform(0.55, 0.9)
        return tone * np.array([0.95, 0.98, 1.0]), np.full(3, min(1.0, tone * 1.08))
    return np.array([0.4, 0.42, 0.6]), np.array([0.95, 0.75, 0.58]) * rng.uniform(0.8, 1.0)


def _skyline(far: np.ndarray, rng: np.random.Generator, side: int, *, haze: float, rim) -> None:
    """Draw hills, trees or houses that stand on row `side` of `far`."""
    colour = np.array([0.3, 0.36, 0.24]) * rng.uniform(0.6, 1.3)
    columns = np.arange(side)
    if rng.random() < 0.45:  # houses
        colour = _earthy(rng, 0.3, 0.7)
        starts = np.sort(rng.integers(0, side, rng.integers(4, 16)))
        which = np.searchsorted(starts, columns)
        top = rng.uniform(0.02, 0.28, len(starts) + 1)[which]
        tones = rng.normal(1, 0.12, len(starts) + 1)[which]
    else:
        rough = rng.uniform(0.4, 0.75)
        top = 0.1 + 0.09 * fractal(rng, 2, side, roughness=rough, first=3)[0]
        tones = np.ones(side)
    painted = (colour * (1 - haze) + rim * haze) * tones[:, None]
    rows = np.arange(2 * side)[:, None]
    covered = (rows > side * (1 - np.maximum(top, 0.0))[None]) & (rows <= side)
    far[covered] = np.broadcast_to(painted, far.shape)[covered]


# ---------------------------------------------------------------------- furniture
@dataclass(frozen=True)
class Solids:
    """Boxes as one mesh, metres: ``vertices`` in the world, ``rest`` in their own coordinates."""

    vertices: Float[np.ndarray, "v 3"]
    rest: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_BOX_FACES = np.array([(4 * i + a, 4 * i + b, 4 * i + c) for i in range(6)
                       for a, b, c in ((0, 1, 2), (0, 2, 3))], np.int32)  # fmt: skip


def boxes(
    corners: list[tuple[np.ndarray, np.ndarray]], at: Float[np.ndarray, "3"], yaw: float
) -> Solids:
    """Boxes from (low, high) corners in own coordinates (m), turned about y and moved to `at`."""
    ends = np.array(corners, np.float64)  # N 2 3
    pick = np.array([[(i >> 2) & 1, (i >> 1) & 1, i & 1] for i in range(8)])
    points = np.stack([ends[:, pick[:, axis], axis] for axis in range(3)], -1)  # N 8 3
    rest = points[:, np.array(_SIDES).ravel()].reshape(-1, 3)
    faces = (_BOX_FACES[None] + 24 * np.arange(len(ends))[:, None, None]).reshape(-1, 3)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return Solids(
        (rest @ turn.T + at).astype(np.float32), rest.astype(np.float32), faces.astype(np.int32)
    )


def random_furniture(rng: np.random.Generator, at: Float[np.ndarray, "3"]) -> Solids:
    """A table, a chair, a cabinet, a pole or a crate that stands at `at` (m)."""
    kind = rng.choice(["table", "chair", "cabinet", "pole", "crate"], p=[0.2, 0.2, 0.2, 0.1, 0.3])
    wide, deep = rng.uniform(0.3, 0.9, 2)
    if kind == "table":
        corners = _on_legs(wide * 1.3, deep, top=rng.uniform(0.4, 0.8), thick=0.04)
    elif kind == "chair":
        seat = rng.uniform(0.38, 0.5)
        corners = _on_legs(0.42, 0.42, top=seat, thick=0.05)
        corners.append((np.array([-0.21, seat, -0.21]), np.array([0.21, 2 * seat, -0.17])))
    elif kind == "cabinet":
        corners = [_block(wide, rng.uniform(0.8, 2.0), deep * 0.7)]
    elif kind == "pole":
        corners = [_block(0.12, rng.uniform(1.0, 3.0), 0.12)]
    else:
        corners = [_block(wide * 0.7, rng.uniform(0.15, 0.6), deep * 0.7)]
    return boxes(corners, at, rng.uniform(-np.pi, np.pi))


def furniture_material(rng: np.random.Generator, textures: int) -> Float[np.ndarray, "c"]:
    """A row of materials: plain paint, or one of the scene's `textures` tinted."""
    colour = _earthy(rng, 0.2, 0.9) if rng.random() < 0.7 else cloth_colour(rng)
    if rng.random() < 0.5:
        return material(np.clip(colour, 0, 1), gloss=rng.uniform(0, 0.15))
    tint = np.clip(0.5 + colour, 0, 1.2)
    return material(tint, scale=rng.uniform(0.5, 1.6), texture=int(rng.integers(textures)))


def _block(wide: float, high: float, deep: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([-wide / 2, 0, -deep / 2]), np.array([wide / 2, high, deep / 2])


def _on_legs(
    wide: float, deep: float, *, top: float, thick: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = [(np.array([-wide / 2, top - thick, -deep / 2]), np.array([wide / 2, top, deep / 2]))]
    for x in (-wide / 2, wide / 2 - 0.05):
        for z in (-deep / 2, deep / 2 - 0.05):
            parts.append((np.array([x, 0, z]), np.array([x + 0.05, top - thick, z + 0.05])))
    return parts
