"""Fixtures that several test folders share."""

import fcntl
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.worlds import checked  # noqa: F401  # before any module of ours is loaded: it has their shapes checked

# isort: split
from sahmr.demo.bodies.family import BodyFamily, build_body_models
from sahmr.demo.generate import Demo, Trees, generate
from sahmr.demo.publishers.rich_plan import TINY
from tests.worlds import prepared, small

if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores
    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of ``tests/parity``; pytest wants them here to know them wherever it is started."""
    group = parser.getgroup("parity")
    default = "../shared/reference/golden or else the thinned set in tests/parity/golden"
    group.addoption("--golden", metavar="DIR", help=f"folder of golden .npz files (default: {default})")
    group.addoption("--parity-report", metavar="FILE", help="write the table of errors to this Markdown file")
    group.addoption("--body-seed", type=int, default=7, help="seed of the golden files' synthetic body models")


# Long files, begun first so that no process is left alone with one at the end; those that wait for the demo come later.
_FIRST = (
    "soak/test_crash.py", "training/test_convert.py", "pipelines/test_training_stages.py",
    "pipelines/test_convert_checkpoint.py", "training/test_trainer.py", "pipelines/test_damage.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return _FIRST.index(path) if path in _FIRST else len(_FIRST)

    items.sort(key=rank)


@contextmanager
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of all processes of the run, in which one of them works at a time: the first makes things for all."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small but complete demo: ``RICH``, ``PROX`` and ``body_models`` below one folder, every trap included."""
    with one_for_all(tmp_path_factory) as shared:
        root, making = shared / "demo", shared / "demo.partial"
        if not root.is_dir():
            family = build_body_models(7)
            generate(Trees.below(making), Demo(seed=7, image_divisor=16), size=TINY, family=family)
            (shared / "family.pickle").write_bytes(pickle.dumps(family))
            making.rename(root)
    return root


@pytest.fixture(scope="session")
def body_family(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> BodyFamily:
    """The family whose files ``demo_root`` holds, as it was built."""
    with one_for_all(tmp_path_factory) as shared:
        family: BodyFamily = pickle.loads((shared / "family.pickle").read_bytes())
    return family


@pytest.fixture(scope="session")
def roads(tmp_path_factory: pytest.TempPathFactory, demo_root: Path) -> prepared.Roads:
    """A few sequences of the demo as raw trees and as the authors' prepared folders. Read-only."""
    return prepared.write_roads(tmp_path_factory.mktemp("roads"), demo_root)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the stages before training make, of nine samples in one room. Read-only."""
    folder = tmp_path_factory.mktemp("small")
    small.write_world(folder / "world")
    return folder / "world"
