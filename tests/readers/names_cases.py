"""Names beside the published ones, and split tables with mistakes: what is made of each."""

from __future__ import annotations

from dataclasses import dataclass

from tests.worlds.raw_trees import FRAME, SEQUENCE

# What browsers, NAS boxes, macOS, editors and users leave beside a file called STEM.EXT.
STRANGERS = (
    "{stem} (1){ext}", "{stem}(1){ext}", "Copy of {stem}{ext}", "{stem} - Copy{ext}", "{stem} copy{ext}",
    "{stem}_overlay{ext}", "{stem}_mask.png", "._{stem}{ext}", ".{stem}{ext}.swp", "{stem}{ext}~", "{stem}{ext}.bak",
    "{stem}{ext}.part", "{stem}{ext}.crdownload", "{stem}{ext}.tmp", "{stem}{ext}.orig", "{stem}{ext}.sync-conflict",
    "{stem}{ext}\n", " {stem}{ext}", "{stem}{ext} ", "{stem}", "0{stem}{ext}", "{stem}.{stem}{ext}", "Thumbs.db",
    ".DS_Store", "desktop.ini", "@eaDir", "\u0661{stem}{ext}",
)  # fmt: skip
FOLDERS = (
    "@eaDir", "__MACOSX", "lost+found", ".Trash-1000", "#recycle", "{name} (1)", "{name} copy", "Copy of {name}",
    "{name}_old", "{name}.zip", "._{name}", "{name} ", "0{name}",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A file of a sound tree, the kind of its folder in the report, and whether the tree is RICH's or PROX's."""

    tree: str
    file: str
    what: str


_CAMERA, _BODY = f"images/train/{SEQUENCE}/cam_00", f"bodies/train/{SEQUENCE}"
_CONTACT, _MOSH = f"human_scene_contact/train/{SEQUENCE}", "quantitative/fittings/mosh/vicon_03301_01"
_COLOR = "quantitative/recordings/vicon_03301_01/Color"
FILES = (
    Place("rich", f"{_CAMERA}/00060_00.jpeg", "images/SPLIT/SEQ/cam_CC"),
    Place("rich", f"{_BODY}/00060/005.ply", "bodies/SPLIT/SEQ/FFFFF"),
    Place("rich", f"{_CONTACT}/00060/005.pkl", "contact/SPLIT/SEQ/FFFFF"),
    Place("rich", "scan_calibration/CapA/calibration/000.xml", "scan_calibration/CAP/calibration"),
    Place("rich", "resource/meta/train.txt", "resource/meta"),
    Place("prox", f"{_COLOR}/{FRAME}.jpg", "quantitative/recordings/REC/Color"),
    Place("prox", f"{_MOSH}/meshes/{FRAME}/000.ply", "quantitative/fits/REC/meshes/FRAME"),
    Place("prox", "quantitative/cam2world/vicon.json", "quantitative/cam2world"),
    Place("prox", "quantitative/scenes/vicon.ply", "quantitative/scenes"),
    Place("prox", "quantitative/sdf/vicon_sdf.npy", "quantitative/sdf"),
)
FOLDER_PLACES = (
    Place("rich", f"images/train/{SEQUENCE}", "images/SPLIT"),
    Place("rich", _CAMERA, "images/SPLIT/SEQ"),
    Place("rich", _BODY, "bodies/SPLIT"),
    Place("rich", f"{_BODY}/00060", "bodies/SPLIT/SEQ"),
    Place("rich", f"{_CONTACT}/00060", "contact/SPLIT/SEQ"),
    Place("prox", "quantitative/recordings/vicon_03301_01", "quantitative/recordings"),
    Place("prox", _MOSH, "quantitative/fits"),
    Place("prox", f"{_MOSH}/meshes/{FRAME}", "quantitative/fits/REC/meshes"),
)

HEADER = "sequence_name\tcapture_name\tscan_name\tid\tmoving_cam\tgender\tview_id"
ROW = f"{SEQUENCE}\tCapA\tscan_camcoord\t5\tX\tmale\t0,1"
OTHER = ROW.replace(SEQUENCE, "CapA_005_run")


def table(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows]).encode()


ACCEPTED = {
    "as published": table(ROW, OTHER),
    "line feed at the end": table(ROW, OTHER) + b"\n",
    "CRLF and a byte-order mark": b"\xef\xbb\xbf" + table(ROW, OTHER).replace(b"\n", b"\r\n"),
    "CR alone": table(ROW, OTHER).replace(b"\n", b"\r"),
    "blank lines": table("", ROW, "  \t ", OTHER, ""),
    "blanks around cells": table(ROW.replace("\t", " \t"), OTHER + "  "),
    "empty cells at the end": (HEADER + "\t\t\n" + ROW + "\t\n" + OTHER + "\t\t\t").encode(),
    "scan with its suffix, gender in capitals": table(
        ROW.replace("camcoord", "camcoord.ply").replace("male", "Male"), OTHER
    ),
    "blanks in the list": table(ROW.replace("0,1", "0, 1 "), OTHER),
}
# What the table holds -> what is said of it, whole lines after the file's path.
REFUSED = {
    "a row twice": (table(ROW, OTHER, ROW), rf"lines 2 and 4 are the same row \({SEQUENCE}, subject 5\); remove one$"),
    "a row twice, lines apart": (table(ROW, "", "", ROW), "lines 2 and 5 are the same row"),
    "a row twice but for blanks": (table(ROW, ROW.replace("\t", "\t ")), "lines 2 and 3 are the same row"),
    "other cameras": (
        table(ROW, ROW.replace("0,1", "0,2")),
        rf"lines 2 and 3 are both about subject 5 of {SEQUENCE} but differ \(cameras 0,1 and 0,2\); remove the wrong",
    ),
    "other gender": (table(ROW, ROW.replace("male", "female")), r"differ \(gender male and female\)"),
    "other scan of the other person": (
        table(ROW, ROW.replace("\t5\t", "\t6\t").replace("scan_camcoord", "scan_table")),
        r"lines 2 and 3: .* has the scan CapA_scan_camcoord and CapA_scan_table; a sequence has one",
    ),
    "a column too many": (table(OTHER, ROW + "\tX"), "line 3: 8 cells, the header has 7; correct the row"),
    "a column too few": (table(ROW.rsplit("\t", 1)[0]), "line 2: 6 cells, the header has 7; correct the row"),
    "commas": (table(ROW).replace(b"\t", b","), "the columns are separated by ',', allowed: tabs"),
    "semicolons": (table(ROW).replace(b"\t", b";"), "the columns are separated by ';', allowed: tabs"),
    "blanks for tabs": (table(ROW).replace(b"\t", b"  "), "the columns are separated by ' ', allowed: tabs"),
    "quotes": (table(ROW.replace("0,1", '"0,1"')), "line 2: view_id is '\"0,1\"', .* without quotes"),
    "UTF-16": (table(ROW).decode().encode("utf-16"), "not a text file .*save it as UTF-8"),
    "UTF-16 without a mark": (table(ROW).decode().encode("utf-16-le"), "holds zero bytes, as UTF-16"),
    "a camera twice": (table(ROW.replace("0,1", "0,0")), "line 2: view_id is '0,0', allowed: each camera once"),
    "a camera twice, two spellings": (table(ROW.replace("0,1", "1,01")), "allowed: each camera once"),
    "no camera": (table(ROW.replace("0,1", ",")), "view_id is ',', allowed: camera numbers"),
    "a camera below zero": (table(ROW.replace("0,1", "-1")), "view_id is '-1', allowed: camera numbers"),
    "a camera of a spreadsheet": (table(ROW.replace("0,1", "0.1")), "view_id is '0.1', allowed: camera numbers"),
    "a subject that is none": (table(ROW.replace("\t5\t", "\t1e3\t")), "id is '1e3', allowed: a subject's number"),
    "a path": (table(ROW.replace(SEQUENCE, "../x")), r"sequence_name is '\.\./x', allowed: letters, digits, _ and -"),
    "an absolute scan": (table(ROW.replace("scan_camcoord", "/etc/x")), "scan_name is '/etc/x', allowed"),
    "no sequence": (table(ROW.replace(SEQUENCE, "")), "sequence_name is '', allowed"),
    "no header": (ROW.encode(), "the header lacks the columns"),
    "a column named twice": ((HEADER + "\tid\n").encode(), r"the header has the columns \['id'\] twice"),
    "the header alone": (HEADER.encode(), "a header and no row for split 'train'; fetch .* or remove the file"),
    "nothing": (b"", "the header lacks the columns"),
    "forty wrong rows": (table(*["x"] * 40), "30 more wrong rows"),
}
