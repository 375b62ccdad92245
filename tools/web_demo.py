"""What the page in the browser needs beside its source: ONNX Runtime Web and exported networks.

    python -m tools.web_demo [--weights spnet-s] [--exits 1,1 1,2 2,0]

The library comes from its npm package, of one version, whose files are copied, and each exit of the
network is exported as `poseact export` does. All goes to src/poseact/web/demo/lib and models, which
are not in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from poseact.core.files import whole_folder, write_text
from poseact.core.layouts import layout_named
from poseact.export.onnx_file import export_onnx
from poseact.models.cards import Card
from poseact.models.exported import load_exported

DEMO = Path(__file__).parents[1] / "src" / "poseact" / "web" / "demo"
PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
FILES = (
    "ort.wasm.min.mjs",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)


def library(folder: Path) -> None:
    """The files of the npm package that the page imports; ValueError if it is not the known one."""
    with tempfile.TemporaryDirectory() as name:
        command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (packed,) = Path(name).glob("*.tgz")
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
        if found != SHA256:
            raise ValueError(f"{PACKAGE} {VERSION} has the SHA-256 {found}, not {SHA256}")
        with tarfile.open(packed) as archive, whole_folder(folder) as part:
            for file in (*(f"dist/{f}" for f in FILES), "README.md"):
                data = archive.extractfile(f"package/{file}")
                assert data is not None  # a file of this package
                (part / Path(file).name).write_bytes(data.read())


def networks(folder: Path, weights: str, exits: list[tuple[int, int]]) -> None:
    """Each exit as files for frames and actions, and what the page must know of them."""
    with whole_folder(folder) as part:
        card, found = None, []
        for n, exit in enumerate(exits):
            written = export_onnx(weights, part / f"{n}.onnx", exit=exit)
            card = load_exported(part / f"{n}.onnx").card
            names = [file.name for file in written.files]
            size = sum(file.stat().st_size for file in written.files)
            actions = names[1] if len(names) > 1 else None
            found.append({"exit": exit, "frames": names[0], "actions": actions, "bytes": size})
        assert card is not None
        write_text(part / "card.json", json.dumps(about(card, weights) | {"exits": found}))


def about(card: Card, weights: str) -> dict:
    """A card as the page reads it."""
    layout = layout_named(card.layout)
    return {
        "model": Path(weights).stem,
        "joints": layout.joints,
        "parents": layout.parents,
        "labels": card.labels[0] if card.labels else [],
        "size": card.size[0],
        "margin": card.margin,
        "frames": card.frames,
        "fps": card.fps,
        "believed": card.believed,
        "sure": card.sure,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--weights", default="spnet-s")
    parser.add_argument(
        "--exits", nargs="+", default=["1,1", "1,2", "2,0"], metavar="PYRAMID,LEVEL"
    )
    args = parser.parse_args()
    for name in ("lib", "models"):
        if (DEMO / name).is_dir():
            for file in (DEMO / name).iterdir():
                file.unlink()
    library(DEMO / "lib")
    exits = [tuple(map(int, exit.split(","))) for exit in args.exits]
    networks(DEMO / "models", args.weights, [(pyramid, level) for pyramid, level in exits])
    size = sum(f.stat().st_size for name in ("lib", "models") for f in (DEMO / name).iterdir())
    print(f"{DEMO}: {size / 1e6:.0f} MB; serve it with: poseact web")


if __name__ == "__main__":
    main()
