"""Which PROX recordings lack their images, fits, camera pose, scan, or what their fits need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from sahmr.readers import prox_layout as layout
from sahmr.readers.absence import Sentence, find_elsewhere, tell
from sahmr.readers.base import Absence
from sahmr.readers.names import PROX_IMAGE, PROX_RECORDING, Sieve, folders_of, has, name_some
from sahmr.readers.prox_layout import PARTS, SITE, SPLIT_OF

_RECORDINGS = "recordings of PROX {part} (split '{split}')"
_SENTENCES = {
    "absent_recording": Sentence(
        text="{n} of {total} " + _RECORDINGS + " are empty, with neither images under {images} nor fits under {fits}",
        source=f"recordings and fits, {SITE}",
    ),
    "absent_images": Sentence(
        text="{n} of {total} " + _RECORDINGS + " have no image REC/Color/FRAME.jpg under {images}",
        source=f"recordings, {SITE}",
    ),
    "absent_fits": Sentence(
        text="{n} of {total} " + _RECORDINGS + " have no fit under {fits}",
        source=f"MoSH fits come with quantitative, PROXD fits are a download of their own, {SITE}",
    ),
    "absent_pose": Sentence(
        text="{n} of {total} scenes of PROX {part} (split '{split}') have no camera pose under {base}/cam2world",
        source=f"PROX {{part}}, {SITE}",
    ),
    "absent_scan": Sentence(
        text="{n} of {total} scenes of PROX {part} (split '{split}') have no scan under {base}/scenes",
        source=f"PROX {{part}}, {SITE}",
    ),
    "absent_vicon2scene": Sentence(
        text="{base}/vicon2scene.json is missing, and {n} of {total} "
        + _RECORDINGS
        + " have MoSH parameters (results) without "
        "a mesh (meshes), which lie in its frame",
        source=f"vicon2scene.json or the MoSH meshes, PROX quantitative, {SITE}",
    ),
}


def absences(root: Path, parts: Collection[str]) -> list[Absence]:
    """Everything that the recordings on disk ask for and that is not there."""
    found: dict[Absence, None] = {}  # recordings share scenes
    for part in parts:
        for recording in layout.recordings(root, part):
            for rule, name in _of_recording(root, part, recording):
                found[Absence(split=SPLIT_OF[part], rule=rule, name=name)] = None
    return list(found)


def _of_recording(root: Path, part: str, recording: str) -> Iterator[tuple[str, str]]:
    images, fits = layout.has_images(root, part, recording), layout.has_fits(root, part, recording)
    if not images and not fits:
        yield "absent_recording", recording
        return
    if not images:
        yield "absent_images", recording
    if not fits:
        yield "absent_fits", recording
    scene = layout.scene_of(recording)
    files = layout.scene_files(root, part, scene)
    for what in ("pose", "scan"):
        if not files[what].is_file():
            yield f"absent_{what}", files[what].name
    if part == "quantitative" and not (root / layout.VICON).is_file():
        files_of = layout.list_recording(root, part, recording, Sieve(root))
        if any(layout.needs_vicon(files_of)):
            yield "absent_vicon2scene", recording


def tell_absences(root: Path, dataset: str, part: str, found: list[Absence]) -> list[str]:
    """One line per kind, with the places where the missing things lie instead."""
    split, names = SPLIT_OF[part], layout.recordings(root, part)
    scenes = {layout.scene_of(name) for name in names}
    totals = {(split, rule): len(scenes if rule in ("absent_pose", "absent_scan") else names) for rule in _SENTENCES}
    fits = " or ".join(dict.fromkeys(str(place) for place, _, _ in layout.fit_places(root, part)))
    fields = {"part": part, "base": str(root / part), "images": str(root / part / "recordings"), "fits": fits}
    ours = [absence for absence in found if absence.split == split]
    remedy = (
        f"to work without them set frames.{dataset}.allow_absent of params.yaml to true, or, without this part, take "
        f"it out of frames.{dataset}.parts"
    )
    elsewhere = _elsewhere(root, part, {a.name for a in ours if PROX_RECORDING.fullmatch(a.name)})
    return tell(ours, _SENTENCES, totals=Counter(totals), fields={split: fields}, remedies={split: remedy},
                elsewhere=elsewhere)  # fmt: skip


def _elsewhere(root: Path, part: str, names: Collection[str]) -> dict[str, list[str]]:
    """Recordings by name, outside the folders where they are looked for."""
    read = {root / each / "recordings" for each in PARTS} | {
        place for each in PARTS for place, _, _ in layout.fit_places(root, each)
    }
    return find_elsewhere(
        root, names, _holds_recording, lambda folder: folder.parent in read and folder.name in names
    ) if names else {}  # fmt: skip


def _holds_recording(folder: Path) -> bool:
    return has(folder / "Color", PROX_IMAGE) or any(
        layout.has_fit(folder / kind, file) for kind, file in (("meshes", "000.ply"), ("results", "000.pkl"))
    )


def check_part(root: Path, dataset: str, part: str) -> list[str]:
    """What a whole part lacks, whatever its recordings: its folder, color camera, any recording, any fit."""
    base = root / part
    if part not in PARTS or not base.is_dir():
        hint = _folder_elsewhere(root, part) if part in PARTS else ""
        return [
            f"{base}: missing{hint}; PROX {part}, {SITE}; or remove it from frames.{dataset}.parts (allowed: {PARTS})"
        ]
    problems = []
    color = base / "calibration" / "Color.json"
    if not color.is_file():
        problems.append(f"{color}: missing; color camera, PROX {part}, {SITE}")
    if not layout.recordings(root, part):
        hint = _folder_elsewhere(root, "recordings")
        problems.append(
            f"{base / 'recordings'}: no recording SCENE_SUBJECT_NN (as N0Sofa_00034_01){hint}; color images, PROX "
            f"{part}, {SITE}; or remove {part} from frames.{dataset}.parts"
        )
    return problems + list(_check_fields(root, part))


def _check_fields(root: Path, part: str) -> Iterator[str]:
    """A distance field and its extent come together or not at all."""
    told = {"sdf": "distance field", "info": "extent of the distance field"}
    for scene in sorted({layout.scene_of(name) for name in layout.recordings(root, part)}):
        files = {what: path for what, path in layout.scene_files(root, part, scene).items() if what in told}
        missing = [what for what, path in files.items() if not path.is_file()]
        if len(missing) == 1:
            what = missing[0]
            other = next(path for key, path in files.items() if key != what)
            yield (
                f"{files[what]}: missing; {told[what]}, PROX {part}, {SITE}; or, to have the field computed from the "
                f"scan, remove {other}"
            )


def _folder_elsewhere(root: Path, name: str) -> str:
    """Folders of that name that hold, or lie above, recordings, where the tree is a folder too deep."""

    def holds(folder: Path) -> bool:
        place = folder if name == "recordings" else folder / "recordings"
        return any(True for _ in folders_of(place, PROX_RECORDING))

    known = {root / part for part in PARTS}
    found = find_elsewhere(root, {name}, holds, lambda folder: folder in known or folder.parent in known)
    places = found.get(name, [])
    return f"; found in another place: {name_some(places)}; move it up" if places else ""
