"""Read hostile files, each with little memory to spare: ``python -m tests.untrusted.read_hostile CASES.json``.

A process of its own, since what the readers must not do would end it: a segmentation fault, gigabytes, minutes.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sahmr.cameras.opencv_file import read_opencv_file
from sahmr.errors import RawDataError
from sahmr.readers.bodies import read_params
from sahmr.readers.images import image_size
from sahmr.readers.rich_tables import read_split_table
from sahmr.untrusted.gltf import read_gltf
from sahmr.untrusted.meshes import obj_has_colors, read_ply
from sahmr.untrusted.obj import read_obj
from sahmr.untrusted.pickles import load_npy, load_npz_member, load_pickle
from sahmr.untrusted.stl_off import read_off, read_stl
from sahmr.untrusted.texts import read_json, read_xml

SPARE = 300 << 20  # bytes a reader may take; the largest of the files has 35 MB, the largest sound one 2 MB
READERS: dict[str, Callable[[Path], Any]] = {
    "pickle": load_pickle, "fit": read_params, "npy": load_npy, "npz": lambda path: load_npz_member(path, "a"),
    "ply": read_ply, "obj": obj_has_colors, "json": read_json, "xml": read_xml,
    "gltf": read_gltf, "mesh_obj": read_obj, "stl": read_stl, "off": read_off,
    "yml": lambda path: read_opencv_file(path, "m"),
    "table": lambda path: read_split_table(path, "train"), "image": image_size,
}  # fmt: skip


def main() -> None:
    cases: list[tuple[str, str, str]] = json.loads(Path(sys.argv[1]).read_text())
    np.ones((500, 500)) @ np.ones((500, 500))  # threads take their stacks before the limit is set
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, used + SPARE))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    for name, reader, path in cases:
        print(json.dumps([name, "begun", []]), flush=True)
        opened.clear()
        try:
            READERS[reader](Path(path))
            said = None
        except RawDataError as error:
            said = str(error)
        except BaseException as error:
            said = f"escaped: {type(error).__name__}: {error}"
        print(json.dumps([name, said, sorted({file for file in opened if not _is_code(file)})]), flush=True)


def _is_code(file: str) -> bool:
    """A module of Python, or a number that stands for a file opened before."""
    return file.isdecimal() or file.endswith((".py", ".pyc", ".so"))


if __name__ == "__main__":
    main()
