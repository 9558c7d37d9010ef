"""Where things lie in a raw PROX tree, and what one recording holds (formats c)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sahmr.readers.names import PROX_FRAME, PROX_IMAGE, PROX_PLACED, PROX_RECORDING, Sieve, entries, folders_of, has

PARTS: tuple[Literal["quantitative"], Literal["qualitative"]] = ("quantitative", "qualitative")
SITE = "https://prox.is.tue.mpg.de"
SPLIT_OF = {"quantitative": "test", "qualitative": "train"}
VICON = "quantitative/vicon2scene.json"
_PROXD = ("PROXD", "qualitative/PROXD")


def scene_of(recording: str) -> str:
    """``<SCENE>_<SUBJECT>_<NN>`` -> scene."""
    return recording.split("_")[0]


def scene_files(root: Path, part: str, scene: str) -> dict[str, Path]:
    """Where a scene's camera pose, scan and distance field lie, existing or not."""
    base = root / part
    return {
        "pose": base / "cam2world" / f"{scene}.json",
        "scan": base / "scenes" / f"{scene}.ply",
        "sdf": base / "sdf" / f"{scene}_sdf.npy",
        "info": base / "sdf" / f"{scene}.json",
    }


def fit_places(root: Path, part: str) -> list[tuple[Path, str, str]]:
    """Folders of fits, the preferred first; where below ``<REC>`` the frames lie, and a frame's file."""
    if part == "quantitative":
        mosh = root / part / "fittings" / "mosh"
        return [(mosh, "meshes", "000.ply"), (mosh, "results", "000.pkl")]
    return [(root / place, "results", "000.pkl") for place in _PROXD]


def color_folder(root: Path, part: str, recording: str) -> Path:
    """Color images of a recording."""
    return root / part / "recordings" / recording / "Color"


def recordings(root: Path, part: str, sieve: Sieve | None = None) -> list[str]:
    """Names of the recordings that have a folder for images or fits, sorted."""
    sieve = sieve or Sieve(root)
    above = {"recordings": [root / part / "recordings"], "fits": sorted({p for p, _, _ in fit_places(root, part)})}
    found = {
        match.string
        for what, folders in above.items()
        for folder in folders
        for match in sieve.sift(f"{part}/{what}", folder, PROX_RECORDING, folders=True)
    }
    return sorted(found)


def has_images(root: Path, part: str, recording: str) -> bool:
    """Whether a recording has any color image."""
    return has(color_folder(root, part, recording), PROX_IMAGE)


def has_fits(root: Path, part: str, recording: str) -> bool:
    """Whether a recording has any fit, of either kind."""
    return any(has_fit(place / recording / kind, file) for place, kind, file in fit_places(root, part))


def has_fit(folder: Path, file: str) -> bool:
    """Whether any frame below a folder has its fit."""
    return any((frame / file).is_file() for frame in folders_of(folder, PROX_FRAME))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFiles:
    """Image and body file of every frame of a recording by the frame's stem, relative to the raw root."""

    images: dict[str, str]
    bodies: dict[str, str]


def list_recording(root: Path, part: str, recording: str, sieve: Sieve) -> RecordingFiles:
    """List one recording; of a frame's several fits the one in the preferred folder is taken."""
    color = color_folder(root, part, recording)
    prefix = color.relative_to(root).as_posix()
    images = sieve.images(f"{part}/recordings/REC/Color", color, PROX_IMAGE)
    bodies: dict[str, str] = {}
    for place, kind, file in fit_places(root, part):
        folder = place / recording / kind
        above = folder.relative_to(root).as_posix()
        for frame in sieve.sift(f"{part}/fits/REC/{kind}", folder, PROX_FRAME, folders=True):
            if _holds_file(folder / frame.string, file, f"{part}/fits/REC/{kind}/FRAME", sieve):
                bodies.setdefault(frame.string, f"{above}/{frame.string}/{file}")
    return RecordingFiles(images={stem: f"{prefix}/{m.string}" for stem, m in images.items()}, bodies=bodies)


def _holds_file(place: Path, file: str, what: str, sieve: Sieve) -> bool:
    names = [(name, is_folder) for name, is_folder in entries(place)]
    sieve.ignore(what, place, [name for name, is_folder in names if name != file or is_folder])
    return (file, False) in names


def ignore_beside_scenes(root: Path, part: str, sieve: Sieve) -> None:
    """Count what lies beside camera poses, scans and distance fields and is none."""
    for folder, pattern in PROX_PLACED.items():
        sieve.sift(f"{part}/{folder}", root / part / folder, pattern)


def frame_number(stem: str) -> int:
    """The number in a frame's stem."""
    found = PROX_FRAME.fullmatch(stem)
    assert found is not None  # only published names are listed
    return int(found[1])


def needs_vicon(files: RecordingFiles) -> Iterator[str]:
    """Fits in the Vicon frame: MoSH parameters, where the mesh is missing."""
    return (file for file in files.bodies.values() if file.startswith("quantitative/") and file.endswith(".pkl"))
