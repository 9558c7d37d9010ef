"""What raw trees may lack: how it is removed, the one line expected of the raw check, and the rule that counts it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.readers.names_cases import HEADER, ROW
from tests.worlds.raw_trees import FRAME, SEQUENCE, put, smplx_params

IMAGES, BODIES, CONTACT = (f"{kind}/train/{SEQUENCE}" for kind in ("images", "bodies", "human_scene_contact"))
MALE, FEMALE = "\tX\tmale", "\tX\tfemale"
VICON = "vicon_03301_01"
MOSH, RECORDING = f"quantitative/fittings/mosh/{VICON}", f"quantitative/recordings/{VICON}"


def removed(*names: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for name in names:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def moved(source: str, target: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / source).rename(root / "aside")
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / "aside").rename(root / target)

    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for one in changes:
            one(root)

    return change


def emptied(folder: str) -> Callable[[Path], None]:
    return both(removed(folder), lambda root: (root / folder).mkdir())


def written(name: str, text: str | bytes) -> Callable[[Path], None]:
    return lambda root: void(put(root / name, text))


def void(_: object) -> None: ...


def fits_without_meshes(root: Path) -> None:
    shutil.rmtree(root / MOSH / "meshes")
    put(root / f"{MOSH}/results/{FRAME}/000.pkl", smplx_params())


def full_size_in_quarter(root: Path) -> None:
    (root / "images").rename(root / "images_ds4")


@dataclass(frozen=True)
class Case:
    """What is done to a sound tree, the one line expected, and the rule that counts it where absence is allowed."""

    name: str
    tree: str
    change: Callable[[Path], None]
    says: str
    rule: str | None = None


CASES = (
    Case("sequence", "rich", removed(IMAGES, BODIES),
         rf"^1 of 1 sequences of split 'train' are absent, .*images/train .*bodies/train .*: {SEQUENCE}; images and",
         "absent_sequence"),
    Case("images", "rich", removed(IMAGES), rf"have no image cam_CC.*images/train .*images_ds4/train .*: {SEQUENCE};",
         "absent_images"),
    Case("empty images", "rich", emptied(IMAGES), "1 of 1 sequences of split 'train' have no image", "absent_images"),
    Case("images of other names", "rich",
         both(removed(f"{IMAGES}/cam_01"), moved(f"{IMAGES}/cam_00/00060_00.jpeg", f"{IMAGES}/cam_01/60_1.jpeg")),
         rf"1 of 2 cameras .*: {SEQUENCE}/cam_01;", "absent_camera"),
    Case("a listed camera", "rich", removed(f"{IMAGES}/cam_01"), rf"1 of 2 cameras .* beside .*: {SEQUENCE}/cam_01; .*"
         "take the camera out of the table's view_id", "absent_camera"),
    Case("an empty camera", "rich", emptied(f"{IMAGES}/cam_01"), rf"1 of 2 cameras .*: {SEQUENCE}/cam_01;",
         "absent_camera"),
    Case("bodies", "rich", removed(BODIES), rf"1 of 1 people .* have no body .*bodies/train .*: {SEQUENCE}/005;",
         "absent_bodies"),
    Case("bodies of one of two people", "rich",
         written("resource/meta/train.txt", f"{HEADER}\n{ROW}\n{ROW.replace(f'5{MALE}', f'9{FEMALE}')}"),
         rf"1 of 2 people .* have no body .*: {SEQUENCE}/009;", "absent_bodies"),
    Case("scan", "rich", removed("scan_calibration/CapA/scan_camcoord.ply"),
         r"1 of 1 scans .* absent under .*scan_calibration \(or data/.*: CapA/scan_camcoord.ply;", "absent_scan"),
    Case("calibration", "rich", removed("scan_calibration/CapA/calibration/001.xml"),
         "1 of 2 calibrations .*: CapA/calibration/001.xml; scan_calibration.zip", "absent_calibration"),
    Case("sequence in itself", "rich", moved(IMAGES, f"{IMAGES}/{SEQUENCE}"),
         rf"have no image .*; found in another place: {IMAGES}/{SEQUENCE}; move", "absent_images"),
    Case("kind in a kind", "rich", moved(IMAGES, f"images/train/images/{SEQUENCE}"),
         rf"found in another place: images/train/images/{SEQUENCE}; move", "absent_images"),
    Case("split in itself", "rich", moved("images/train", "images/train/train"),
         rf"found in another place: images/train/train/{SEQUENCE}; move", "absent_images"),
    Case("without a split", "rich", moved(IMAGES, f"images/{SEQUENCE}"),
         rf"found in another place: images/{SEQUENCE}; move", "absent_images"),
    Case("another split", "rich", moved(IMAGES, f"images/val/{SEQUENCE}"),
         rf"found in another place: images/val/{SEQUENCE}; move", "absent_images"),
    Case("prefix of an old archive", "rich", moved("bodies", "ps/project/multi-ioi/rich_release/bodies"),
         rf"have no body .*found in another place: ps/project/multi-ioi/rich_release/{BODIES}; move", "absent_bodies"),
    Case("blank at the end", "rich", moved(IMAGES, f"{IMAGES} "), rf"found in another place: {IMAGES} ; move",
         "absent_images"),
    Case("scans in themselves", "rich", moved("scan_calibration/CapA", "scan_calibration/scan_calibration/CapA"),
         "1 of 1 scans .*found in another place: scan_calibration/scan_calibration/CapA; move", None),
    Case("table without rows", "rich", written("resource/meta/val.txt", HEADER), "val.txt: a header and no row"),
    Case("root too high", "rich", lambda root: both(*(moved(n, f"RICH/{n}") for n in
         ("images", "bodies", "resource", "scan_calibration")))(root),
         "none of train.txt.*found in another place: RICH/resource/meta; point raw.rich"),
    Case("full images in the quarter-size folder", "rich", full_size_in_quarter,
         rf"images_ds4/train: the images of 1 sequences .* do not fit their calibrations: {SEQUENCE}; as .*64x48"),
    Case("recording's images", "prox", removed(f"{RECORDING}/Color"),
         rf"1 of 1 recordings of PROX quantitative \(split 'test'\) have no image REC/Color/FRAME.jpg .*: {VICON};",
         "absent_images"),
    Case("empty recording", "prox", both(removed(MOSH), emptied(RECORDING)), rf"1 of 1 .* are empty, .*: {VICON};",
         "absent_recording"),
    Case("recording's fits", "prox", removed(MOSH), rf"have no fit under .*fittings/mosh: {VICON};", "absent_fits"),
    Case("recording in itself", "prox", moved(RECORDING, f"{RECORDING}/{VICON}"),
         rf"found in another place: {RECORDING}/{VICON}; move", "absent_images"),
    Case("recordings in themselves", "prox", moved("quantitative/recordings", "quantitative/recordings/recordings"),
         rf"found in another place: quantitative/recordings/recordings/{VICON}; move", "absent_images"),
    Case("camera pose", "prox", removed("quantitative/cam2world/vicon.json"),
         "1 of 1 scenes .* have no camera pose under .*cam2world: vicon.json; PROX quantitative", "absent_pose"),
    Case("PROX scan", "prox", removed("quantitative/scenes/vicon.ply"),
         "1 of 1 scenes .* have no scan under .*scenes: vicon.ply;", "absent_scan"),
    Case("Vicon frame", "prox", both(fits_without_meshes, removed("quantitative/vicon2scene.json")),
         rf"vicon2scene.json is missing, and 1 of 1 .* MoSH parameters .*without a mesh .*: {VICON};",
         "absent_vicon2scene"),
    Case("neither meshes nor results", "prox", emptied(f"{MOSH}/meshes"), "have no fit under", "absent_fits"),
    Case("part in itself", "prox", moved("quantitative", "quantitative/quantitative"),
         "found in another place: quantitative/quantitative/recordings; move it up"),
    Case("root too high for PROX", "prox", moved("quantitative", "PROX/quantitative"),
         "quantitative: missing; found in another place: PROX/quantitative; move it up"),
    Case("no recording", "prox", removed("quantitative/recordings", "quantitative/fittings"),
         "recordings: no recording SCENE_SUBJECT_NN"),
    Case("color camera", "prox", removed("quantitative/calibration/Color.json"), "Color.json: missing; color camera"),
    Case("half a distance field", "prox", removed("quantitative/sdf/vicon.json"),
         "vicon.json: missing; extent of the distance field.*remove .*vicon_sdf.npy"),
)  # fmt: skip
