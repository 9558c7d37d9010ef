"""What the readers of all raw trees do alike, and what those of both of a dataset's layouts do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sahmr.errors import RawDataError
from sahmr.readers.base import BodyTask, Listing, Measured, task_inputs
from sahmr.readers.bodies import smpl_vertices_of_file
from sahmr.readers.images import Region, read_record_image
from sahmr.readers.prepared_index import SITE
from sahmr.readers.rich_listing import RichRules
from sahmr.untrusted.regular import inside
from schemas.frame import FrameRecord

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTree(ABC):
    """A raw tree; the methods that a layout does not replace.

    Attributes:
        root: folder that all stored paths are relative to.
        bodies: output folder of the stage ``bodies``.
    """

    root: Path
    bodies: Path

    @abstractmethod
    def list_bodies(self) -> Listing:
        """As :meth:`sahmr.readers.base.Reader.list_bodies`."""

    @abstractmethod
    def measure(self, task: BodyTask) -> Measured:
        """As :meth:`sahmr.readers.base.Reader.measure`."""

    @abstractmethod
    def body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """SMPL-topology vertices [6890, 3] of a file of this layout, world frame, metres.

        Args:
            body_file: relative to the root.
            gender: of the model that parameters belong to.
            camera_from_world: row-major 4x4 of the camera that sees the body.
        """

    def inputs(self, task: BodyTask) -> list[tuple[str, Path]]:
        """Files :meth:`measure` may open for a task."""
        return task_inputs(self.root, task)

    def shared_files(self) -> list[Path]:
        """None."""
        return []

    def frames(self) -> Iterator[FrameRecord]:
        """All usable frames, one body after another, sorted by the key of its first view."""
        for task in self.list_bodies().tasks:
            yield from self.measure(task).records

    def load_body_world(self, record: FrameRecord) -> Array:
        """SMPL-topology vertices [6890, 3], float64, world frame, metres."""
        assert record.body_file is not None  # without one there is nothing to ask for
        return self.body_world(record.body_file, record.gender, record.camera_from_world)

    def read_image(self, record: FrameRecord, region: Region, divisor: int) -> NDArray[np.uint8]:
        """RGB of a region of the full image, averaged over squares of ``divisor`` pixels; mirrored files flipped."""
        return read_record_image(self.root, record, region, divisor)

    def relative(self, path: Path) -> str:
        """A path below the root as tables have it."""
        return path.relative_to(self.root).as_posix()


@dataclass(frozen=True, slots=True, kw_only=True)
class RichTree(RawTree):
    """RICH, as published or prepared: all of its bodies lie in the capture's frame.

    Attributes:
        rules: which splits and frames are read.
    """

    rules: RichRules = field(default_factory=RichRules)
    dataset: str = field(default="rich", init=False)

    def body_world(self, body_file: str, gender: str, camera_from_world: tuple[float, ...]) -> Array:
        """As of any tree; the camera does not matter."""
        return smpl_vertices_of_file(inside(self.root, body_file), self.bodies, gender)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTree(RawTree):
    """A folder that the authors prepared, or a folder that holds one, recognised by its index.

    Attributes:
        index: where in a prepared folder it lies, for messages.
    """

    index: ClassVar[str]

    @staticmethod
    @abstractmethod
    def support_folder(root: Path) -> Path | None:
        """The prepared folder of a tree; None: it has none, or is of another layout."""

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a tree is of this layout, whatever its folders are called."""
        return cls.support_folder(root) is not None

    @property
    def base(self) -> Path:
        """The prepared folder.

        Raises:
            RawDataError: if there is none.
        """
        found = self.support_folder(self.root)
        if found is None:
            raise RawDataError(f"{self.root}: no prepared folder with {self.index}; {SITE}")
        return found
