"""A repository of its own with our code and demo data, where ``dvc repro`` can be run and killed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.soak.processes import Start, environment
from tests.soak.road import OUTPUTS, ROOT, STAGES, write_params

_CODE = ("pipelines", "sahmr", "schemas")
RAW = "data/raw"  # not where the demo stage writes: it shall not run


class Sandbox:
    """Code, raw data and the output of the stage ``bodies``, under DVC.

    Args:
        folder: to be made.
        demo: holds ``RICH``, ``PROX`` and ``body_models``; copied, as another link to a file, made by whoever else
            uses the demo, is a change of it (its ctime) that makes ``frames`` read it again.

    Attributes:
        folder: see above.
    """

    def __init__(self, folder: Path, demo: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in _CODE:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        (folder / ".dvc").mkdir()
        shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
        shutil.copytree(demo, folder / RAW)
        write_params(folder, RAW)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)

    def start(self, **changes: str) -> Start:
        """How its processes are started."""
        return Start(cwd=self.folder, env=environment(self.folder, **changes))

    def run(self, *names: str, log: Path, **changes: str) -> subprocess.Popen[str]:
        """Start stages in one process, or all."""
        return self.start(**changes).run("tests.soak.road", *(names or STAGES), log=log)

    def repro(self, *targets: str, log: Path, **changes: str) -> subprocess.Popen[str]:
        """Start ``dvc repro``; as in the Makefile, the seed decides in which order dvc.lock lists the stages."""
        return self.start(**{"PYTHONHASHSEED": "0", **changes}).run(
            "dvc", "repro", *(targets or ("scenes", "shards")), log=log
        )

    def clear(self) -> None:
        """Remove outputs and reports; the work store stays."""
        for name in OUTPUTS:
            shutil.rmtree(self.folder / "data" / name, ignore_errors=True)
        shutil.rmtree(self.folder / "reports", ignore_errors=True)

    def remember(self) -> None:
        """Keep DVC's present knowledge for :meth:`recall`."""
        kept = self.folder / ".dvc/kept"
        kept.mkdir()
        shutil.copy(self.folder / "dvc.lock", kept / "dvc.lock")
        shutil.copytree(self.folder / ".dvc/cache", kept / "cache", copy_function=os.link)

    def recall(self) -> None:
        """Make DVC forget what it did since :meth:`remember`, or it would take outputs from its cache."""
        kept = self.folder / ".dvc/kept"
        shutil.copy(kept / "dvc.lock", self.folder / "dvc.lock")
        shutil.rmtree(self.folder / ".dvc/cache", ignore_errors=True)
        shutil.copytree(kept / "cache", self.folder / ".dvc/cache", copy_function=os.link)
        shutil.rmtree(self.folder / ".dvc/tmp", ignore_errors=True)
