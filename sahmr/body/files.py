"""Where users keep the licensed body files: every layout we know, and one list of what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sahmr.errors import BodyModelError

_DEEPEST, _MOST_FOLDERS = 4, 200  # of a search that only helps a message
GENDERS = ("male", "female", "neutral")
_SMPLX_SITE = "https://smpl-x.is.tue.mpg.de"
_SMPL_SITE = "https://smpl.is.tue.mpg.de (SMPLify) "
_METRO = "https://github.com/microsoft/MeshGraphormer, folder src/modeling/data"
_SAHMR = "among the body models of the SA-HMR release, https://github.com/zju3dv/SA-HMR"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFiles:
    """Found files; ``smplx`` and ``smplh`` map gender -> path, SMPL-H may be empty."""

    smpl_neutral: Path
    smplx: dict[str, Path]
    smplh: dict[str, Path]
    transfer: Path
    joint_regressor: Path
    downsampling: Path
    parts: Path


def model_candidates(kind: str, gender: str) -> tuple[str, ...]:
    """Relative paths under which a model file may lie, the first being the documented one."""
    name = f"{kind.upper()}_{gender.upper()}"
    names = [f"{name}.npz", f"{name}.pkl"]
    if kind == "smplh":  # the AMASS release
        names += [f"{gender}/model.npz"]
    return tuple(f"{folder}{kind}/{file}" for folder in ("models/", "") for file in names)


_NEUTRAL = "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
_TRANSFER = "model_transfer/smplx2smplh_deftrafo_setup.pkl"
_TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "smpl_neutral": (
        (_NEUTRAL, f"models/{_NEUTRAL}", f"smpl/{_NEUTRAL}", f"models/smpl/{_NEUTRAL}", "models/smpl/SMPL_NEUTRAL.pkl",
         "smpl/SMPL_NEUTRAL.pkl"),
        f"neutral SMPL model, {_SMPL_SITE}",
    ),
    "transfer": (
        (f"models/{_TRANSFER}", _TRANSFER, "smplx2smplh_deftrafo_setup.pkl"),
        f"SMPL-X to SMPL-H transfer, 'model correspondences' on {_SMPLX_SITE}",
    ),
    "joint_regressor": (
        ("J_regressor_h36m_correct.npy", "J_regressor_h36m.npy", "models/J_regressor_h36m_correct.npy",
         "models/J_regressor_h36m.npy"),
        f"H36M joint regressor, {_METRO}",
    ),
    "downsampling": (("mesh_downsampling.npz", "models/mesh_downsampling.npz"), f"mesh hierarchy, {_METRO}"),
    "parts": (("seg_part_info.npy", "models/seg_part_info.npy"), f"contact body parts, {_SAHMR}"),
}  # fmt: skip


def _first(root: Path, candidates: tuple[str, ...]) -> Path | None:
    """The first candidate that is there; one without content, as a broken download leaves it, hides no other."""
    there = [root / name for name in candidates if (root / name).is_file()]
    return next((path for path in there if path.stat().st_size), there[0] if there else None)


def _elsewhere(root: Path, candidates: tuple[str, ...]) -> str:
    """Where files of the candidates' names lie, up to four folders down, for a message."""
    names = {Path(name).name for name in candidates} - {"model.npz"}  # one per gender
    level, found = [root], []
    for _ in range(_DEEPEST):
        below = [entry for folder in level for entry in _entries(folder)]
        found += [path.relative_to(root).as_posix() for path in below if path.name in names and path.is_file()]
        level = [path for path in below if path.is_dir() and not path.is_symlink()][:_MOST_FOLDERS]
    return f"; found in another place: {', '.join(sorted(found)[:3])}; move it" if found else ""


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def check_body_files(root: Path) -> list[str]:
    """Every missing file, one line each: where it was expected, what it is, where to get it."""
    if not root.is_dir():
        return [f"{root}: no such folder; point bodies.raw of params.yaml at the body models"]
    problems = [
        f"{root / candidates[0]}: missing (also looked for {', '.join(candidates[1:]) or 'nothing else'})"
        f"{_elsewhere(root, candidates)}; {what}"
        for candidates, what in _TABLES.values()
        if _first(root, candidates) is None
    ]
    for gender in ("male", "female"):
        candidates = model_candidates("smplx", gender)
        if _first(root, candidates) is None:
            where = ", ".join(candidates[1:])
            told = f"{root / candidates[0]}: missing (also looked for {where}){_elsewhere(root, candidates)}"
            problems.append(f"{told}; SMPL-X model, {_SMPLX_SITE}")
    return problems


def find_body_files(root: Path) -> BodyFiles:
    """Locate the files.

    Raises:
        BodyModelError: listing every missing file.
    """
    if problems := check_body_files(root):
        raise BodyModelError("\n".join([f"{len(problems)} body files are missing:", *problems]))
    tables = {key: _located(root, candidates) for key, (candidates, _) in _TABLES.items()}
    models = {
        kind: {g: path for g in GENDERS if (path := _first(root, model_candidates(kind, g))) is not None}
        for kind in ("smplx", "smplh")
    }
    return BodyFiles(
        smpl_neutral=tables["smpl_neutral"],
        smplx=models["smplx"],
        smplh=models["smplh"],
        transfer=tables["transfer"],
        joint_regressor=tables["joint_regressor"],
        downsampling=tables["downsampling"],
        parts=tables["parts"],
    )


def _located(root: Path, candidates: tuple[str, ...]) -> Path:
    found = _first(root, candidates)
    assert found is not None, "checked by the caller"
    return found
