"""What every stage's command line shares: the dataset flag, logging, and errors reported in one line."""

from __future__ import annotations

import argparse
import errno
import functools
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Protocol

import pipelines.environment  # noqa: F401  # before torch and numpy load
from sahmr.datasets import CARDS
from sahmr.errors import SahmrError
from schemas.fields import SchemaError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ESTALE)
_PLACE = (  # with a name: something else stands there, or nothing any more
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EBUSY, errno.ETXTBSY, errno.EMFILE, errno.ENFILE, errno.EXDEV,
)  # fmt: skip
log = logging.getLogger("sahmr")


def parse_dataset(argv: Sequence[str] | None = None, *, what: str = "") -> str:
    """Read ``--dataset NAME``."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--dataset", choices=sorted(CARDS), required=True)
    return str(parser.parse_args(argv).dataset)


def set_up_logging() -> None:
    """One line per message on standard error, time first."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    log.setLevel(logging.INFO)  # ours alone: Dask would report every worker's comings and goings


class Main(Protocol):
    """A stage's entry point: the command line without the program's name, or None for ``sys.argv``."""

    def __call__(self, argv: Sequence[str] | None = None) -> None:  # noqa: D102  # described by the class
        ...


def stage(main: Main) -> Main:
    """Wrap a stage's ``main``: logging on; an error caused by the input or the disk is one message and exit 1."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> None:
        started_as = sys.modules["__main__"].__spec__
        if main.__module__ == "__main__" and started_as is not None:
            # Workers have to import the stage's functions by name. Of what is in __main__ they would get copies, and a
            # copied Arrow schema, for one, forgets that the elements of its lists are never null.
            importlib.import_module(started_as.name).main(argv)
            return
        set_up_logging()
        try:
            main(argv)
        except (SahmrError, SchemaError) as error:
            log.error("error: %s", error)
            sys.exit(1)
        except OSError as error:
            if error.errno not in _DISK and not (error.errno in _PLACE and error.filename):
                raise
            log.error("error: %s: %s; nothing unfinished was published: correct it and run the same command again",
                      error.filename2 or error.filename or "disk", error.strerror)  # fmt: skip  # 2: where to
            sys.exit(1)
        except KeyboardInterrupt:
            log.error("stopped; finished pieces are kept: the same command goes on from here")
            sys.exit(130)

    return run
