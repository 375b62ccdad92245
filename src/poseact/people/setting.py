"""Where a clip plays: camera and crop, furniture, surroundings and light."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from poseact.people import backgrounds, raster, shading
from poseact.people.config import SPLITS, Difficulty, PeopleConfig
from poseact.people.motions import ACTIONS, Motion
from poseact.people.skeleton import INDEX


class View(NamedTuple):
    """A fixed camera: rows of `rotation` are right, down, forward; metres; pixels per frame."""

    rotation: Float[np.ndarray, "3 3"]
    eye: Float[np.ndarray, "3"]
    focal: Float[np.ndarray, "t"]
    centre: Float[np.ndarray, "t 2"]

    def see(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """World to camera axes, metres."""
        return (points - self.eye) @ self.rotation.T


# ---------------------------------------------------------------------- camera
def camera_axes(forward: Float[np.ndarray, "3"], roll: float) -> Float[np.ndarray, "3 3"]:
    """Rows right, down, forward of a camera whose axis is `forward`."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * down, cos * down - sin * right, forward])


def place_camera(
    motion: Motion, config: PeopleConfig, difficulty: Difficulty, rng: np.random.Generator
) -> View:
    """Sample where the camera stands and how the crop sits in its picture."""
    middle = motion.position.mean((0, 1))
    reach = np.linalg.norm(motion.position - middle, axis=-1).max()
    distance = max(float(np.exp(rng.uniform(np.log(2.2), np.log(9)))), reach + 0.8)
    elevation = np.deg2rad(np.clip(rng.normal(8, 14), -15, 60))
    facing = motion.rotation[len(motion.rotation) // 2, INDEX["pelvis"]] @ [0.0, 0.0, 1.0]
    front = np.arctan2(facing[0], facing[2])
    azimuth = front + np.deg2rad(rng.uniform(-difficulty.view_deg, difficulty.view_deg))
    away = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    eye = middle + distance * away
    eye[1] = max(eye[1], 0.25)
    off = np.tan(np.deg2rad(difficulty.off_axis_deg)) * rng.uniform(-0.7, 0.7, 2) * distance
    sideways = np.cross(away, [0.0, 1.0, 0.0])
    target = middle + off[0] * sideways / np.linalg.norm(sideways) + np.array([0, off[1], 0])
    rotation = camera_axes(target - eye, np.deg2rad(rng.normal(0, 1) * difficulty.roll_deg))
    seen = (motion.position - eye) @ rotation.T
    focal, centre = _crop(seen[..., :2] / seen[..., 2:], config, difficulty, rng)
    return View(rotation, eye, focal, centre)


def _crop(
    slope: Float[np.ndarray, "t 22 2"],
    config: PeopleConfig,
    difficulty: Difficulty,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t 2"]]:
    """Focal lengths and principal points (px) that frame the joints, given as x/z and y/z."""
    low, high = slope.min(1), slope.max(1)  # T 2
    count = len(low)
    crops = count
    if config.crop == "clip":
        low, high = low.min(0, keepdims=True), high.max(0, keepdims=True)
        crops = 1
    size = np.array([config.width, config.height])
    loose = config.margin * rng.uniform(*difficulty.loose, crops)
    middle = (low + high) / 2
    side = ((high - low) / size).max(1) * loose  # crop over pixels
    middle += rng.normal(0, difficulty.shift, (crops, 2)) * side[:, None] * size
    cut = rng.random(crops) < difficulty.truncated
    side = np.where(cut, side * rng.uniform(0.55, 0.85, crops), side)
    middle += cut[:, None] * rng.uniform(-0.25, 0.25, (crops, 2)) * side[:, None] * size
    focal = 1 / side
    centre = size / 2 - middle * focal[:, None]
    return np.broadcast_to(focal, (count,)), np.broadcast_to(centre, (count, 2))


# ---------------------------------------------------------------------- furniture
class Standpoint(NamedTuple):
    """The floor plan (x, z): a person's place, unit vectors to the camera and sideways."""

    middle: Float[np.ndarray, "2"]
    toward: Float[np.ndarray, "2"]
    sideways: Float[np.ndarray, "2"]


def standpoint(motion: Motion, view: View) -> Standpoint:
    """Where the person is on average, as the camera sees it."""
    middle = motion.position[..., [0, 2]].mean((0, 1))
    toward = view.eye[[0, 2]] - middle
    toward = toward / (np.linalg.norm(toward) + 1e-9)
    return Standpoint(middle, toward, np.array([toward[1], -toward[0]]))


def furnish(
    motion: Motion, view: View, difficulty: Difficulty, rng: np.random.Generator
) -> list[backgrounds.Solids]:
    """Furniture beside and behind the person, maybe a box in front, a stool to sit on."""
    middle, toward, sideways = standpoint(motion, view)
    steps = motion.position[:, :, [0, 2]].reshape(-1, 2)
    solids = []
    for _ in range(rng.integers(difficulty.furniture[0], difficulty.furniture[1] + 1)):
        angle = rng.uniform(-np.pi, np.pi)
        spot = middle + rng.uniform(0.7, 2.6) * np.array([np.sin(angle), np.cos(angle)])
        piece = backgrounds.random_furniture(rng, np.array([spot[0], 0.0, spot[1]]))
        hides = (spot - middle) @ toward > 0 and abs((spot - middle) @ sideways) < 0.6
        collides = np.linalg.norm(steps - spot, axis=1).min() < 0.55
        if not hides and not collides and np.linalg.norm(spot - view.eye[[0, 2]]) > 1.2:
            solids.append(piece)
    if rng.random() < difficulty.occluder:
        spot = middle + rng.uniform(0.6, 1.1) * toward + rng.uniform(-0.45, 0.45) * sideways
        wide, high = rng.uniform(0.3, 0.8), rng.uniform(0.3, 1.0)
        low, top = np.array([-wide / 2, 0, -0.15]), np.array([wide / 2, high, 0.15])
        yaw = float(np.arctan2(toward[0], toward[1]) + rng.uniform(-0.5, 0.5))
        solids.append(backgrounds.boxes([(low, top)], np.array([spot[0], 0.0, spot[1]]), yaw))
    return solids + _seat(motion, rng)


def _seat(motion: Motion, rng: np.random.Generator) -> list[backgrounds.Solids]:
    """A stool under a person who does nothing but sit down, in four of five such clips."""
    if rng.random() > 0.8 or (motion.action != ACTIONS.index("sit_down")).any():
        return []
    lowest = motion.position[:, 0, 1].argmin()
    pelvis = motion.position[lowest, 0]
    back = -motion.rotation[lowest, 0] @ [0.0, 0.0, 1.0]
    at = np.array([pelvis[0] + 0.08 * back[0], 0.0, pelvis[2] + 0.08 * back[2]])
    top = max(0.1, pelvis[1] - 0.11)
    yaw = float(np.arctan2(-back[0], -back[2]))
    return [backgrounds.boxes([(np.array([-0.21, 0, -0.2]), np.array([0.21, top, 0.2]))], at, yaw)]


# ---------------------------------------------------------------------- surroundings
def surroundings(
    space: Float[np.ndarray, "t n 3"],
    config: PeopleConfig,
    difficulty: Difficulty,
    view: View,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "n l s s 3"], shading.Around, raster.Light]:
    """Sample a picture, a room or an open ground, and light to go with it.

    `space` are the points (m) that a room must hold.
    """
    kind = int(rng.choice(3, p=difficulty.kinds))
    photos = None
    if config.backgrounds is not None:
        photos = backgrounds.find_photos(config.backgrounds, config.split)
    ground = "ground" if kind == shading.GROUND else "floor"
    textures = np.stack(
        [
            _texture(surface, photos, config, rng)
            for surface in (ground, "wall", "wall", "wall", "floor")
        ]
    )
    backdrop, from_photo = _backdrop(kind, photos, config, view, rng)
    low, high = space.min((0, 1)), space.max((0, 1))
    gap = rng.uniform(0.6, 3.5, 4)
    bounds = np.array(
        [
            min(low[0], view.eye[0]) - gap[0],
            max(high[0], view.eye[0]) + gap[1],
            0.0,
            max(2.5, view.eye[1] + 0.4, high[1] + 0.3) + rng.uniform(0, 1),
            min(low[2], view.eye[2]) - gap[2],
            max(high[2], view.eye[2]) + gap[3],
        ],
        np.float32,
    )
    around = shading.Around(
        kind=kind,
        bounds=bounds,
        texture=np.arange(4, dtype=np.int32),
        tile_m=rng.uniform(0.8, 3.0, 4).astype(np.float32),
        tint=np.array([[1, 1, 1], [1.1, 1.1, 1.1], [1, 1, 1], [1, 1, 1]], np.float32)
        * rng.uniform(0.8, 1.1, (4, 1)).astype(np.float32),
        backdrop=backdrop,
        contact=float(rng.uniform(0.2, 0.6)),
    )
    return textures, around, _sample_light(kind, backdrop if from_photo else None, rng)


def _texture(
    surface: str, photos: backgrounds.Photos | None, config: PeopleConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "l s s 3"]:
    number = int(rng.integers(backgrounds.TEXTURE_POOL))
    if photos is not None and photos.textures and rng.random() < 0.6:
        return backgrounds.photo_texture(photos.textures[int(rng.integers(len(photos.textures)))])
    return backgrounds.made_texture(surface, SPLITS.index(config.split), number)


def _backdrop(
    kind: int,
    photos: backgrounds.Photos | None,
    config: PeopleConfig,
    view: View,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "h w 3"], bool]:
    """The picture behind everything, and whether it is a photo."""
    if kind == shading.ROOM:
        return np.zeros((1, 1, 3), np.float32), False
    height, width = config.height, config.width
    if photos is not None and photos.views and rng.random() < 0.7:
        path = photos.views[int(rng.integers(len(photos.views)))]
        return backgrounds.photo_view(rng, path, height, width), True
    if kind == shading.PICTURE:
        return backgrounds.made_view(rng, height, width).astype(np.float32), False
    up = view.rotation @ [0.0, 1.0, 0.0]
    slope = -(up[2] + up[0] * (width / 2 - view.centre[0, 0]) / view.focal[0]) / up[1]
    horizon = float(np.clip(view.focal[0] * slope + view.centre[0, 1], -2 * height, 3 * height))
    roll = float(np.arctan(up[0] / up[1]))
    return backgrounds.landscape(rng, height, width, horizon=horizon, roll=roll), False


def _sample_light(
    kind: int, photo: Float32[np.ndarray, "h w 3"] | None, rng: np.random.Generator
) -> raster.Light:
    """A sun or lamp and a hemisphere; in a photo's colour and brightness where there is one."""
    high = {shading.PICTURE: (25, 80), shading.ROOM: (45, 85), shading.GROUND: (20, 75)}[kind]
    soft = {shading.PICTURE: (0.35, 0.85), shading.ROOM: (0.4, 0.85), shading.GROUND: (0.3, 0.75)}[
        kind
    ]
    elevation, azimuth = np.deg2rad(rng.uniform(*high)), rng.uniform(-np.pi, np.pi)
    direction = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    ambient = rng.uniform(*soft)
    colour = 1 + rng.normal(0, 0.04, 3)
    if photo is not None:
        mean = photo.mean((0, 1)) + 0.01
        colour = (mean / mean.mean()) ** 0.5 * np.clip(mean.mean() / 0.18, 0.25, 2.0) ** 0.5
    level = colour * rng.uniform(0.9, 1.2)
    warm = np.array([1.06, 1.0, 0.92]) ** rng.uniform(-0.3, 1.5)
    sky = ambient * level
    return raster.Light(
        direction=direction.astype(np.float32),
        sun=(1.5 * (1.1 - ambient) * level * warm).astype(np.float32),
        sky=sky.astype(np.float32),
        ground=(sky * rng.uniform(0.35, 0.7)).astype(np.float32),
        basis=camera_axes(-direction, 0.0).astype(np.float32),
        centre=np.zeros(3, np.float32),
        scale=0.0,
        shadow=np.zeros((1, 1), np.float32),
    )
