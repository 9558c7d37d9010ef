"""What every stage's command line shares: the dataset flag, logging, and errors told in one line."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from sahmr.errors import SahmrError
from schemas.fields import SchemaError

# Read when torch loads, so it stands before any stage imports torch: OpenMP threads that spin while they wait for work
# slow a training down many times over as soon as anything else (a loader process, say) wants the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DATASETS = ("rich", "prox")
log = logging.getLogger("sahmr")


def parse_dataset(argv: Sequence[str] | None = None, *, what: str = "") -> str:
    """Read ``--dataset rich|prox``."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    return str(parser.parse_args(argv).dataset)


def set_up_logging() -> None:
    """One line per message on standard error, time first."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    log.setLevel(logging.INFO)  # ours alone: Dask would report every worker's comings and goings


class Main(Protocol):
    """A stage's entry point: the command line without the program's name, or None for ``sys.argv``."""

    def __call__(self, argv: Sequence[str] | None = None) -> None:  # noqa: D102  # told by the class
        ...


def stage(main: Main) -> Main:
    """Wrap a stage's ``main``: logging on; an error the input is to blame for is one message and exit code 1."""

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> None:
        set_up_logging()
        try:
            main(argv)
        except (SahmrError, SchemaError) as error:
            log.error("error: %s", error)
            sys.exit(1)

    return run
