"""What a stage says when the disk or what stands there refuses: one line and exit 1; a bug keeps its traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.stage import stage

NAMED = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ESTALE", "ENOENT", "ENOTDIR", "EISDIR",
         "EEXIST", "ENOTEMPTY", "ELOOP", "ENAMETOOLONG", "EBUSY", "EMFILE", "ENFILE")  # fmt: skip


def run(error: BaseException, capsys: pytest.CaptureFixture[str]) -> list[str]:
    @stage
    def main(argv: Sequence[str] | None = None) -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 1
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("name", NAMED)
def test_a_refusal_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = getattr(errno, name)
    (line,) = run(OSError(code, os.strerror(code), "data/out/a.parquet"), capsys)
    assert f"error: data/out/a.parquet: {os.strerror(code)}; nothing unfinished was published" in line


def test_a_file_in_the_place_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match="out") as told:
        (tmp_path / "out/deep").mkdir(parents=True)
    (line,) = run(told.value, capsys)
    assert "out" in line and line.count("error:") == 1


@pytest.mark.parametrize("problem", [OSError(errno.EINVAL, "Invalid argument"), KeyError("a"), OSError("no number"),
                                     FileNotFoundError(errno.ENOENT, "No such file")])  # fmt: skip
def test_a_bug_keeps_its_traceback(problem: Exception) -> None:
    @stage
    def main(argv: Sequence[str] | None = None) -> None:
        raise problem

    with pytest.raises(type(problem)):
        main([])
