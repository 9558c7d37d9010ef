"""Makes the whole demo: body models, then RICH and PROX, one task per camera or scene; nothing partial is left."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sahmr.demo.bodies.family import BodyFamily, build_body_models
from sahmr.demo.bodies.files import write_body_models
from sahmr.demo.publishers.prox import ProxJob, prox_divisor, write_prox_common, write_prox_scene
from sahmr.demo.publishers.rich import RichJob, write_rich_tables, write_rich_view
from sahmr.demo.publishers.rich_plan import SEQUENCES, DemoSize, ViewPlan, plan_rich
from sahmr.files import publish_folder
from sahmr.settings import Between, Seed, settings

Job = RichJob | ProxJob
# How jobs are run: takes the function and the jobs, gives the results in order.
Mapper = Callable[[Callable[[Any], int], list[Any]], Iterable[int]]


@settings
class Demo:
    """Section ``demo`` of params.yaml.

    Attributes:
        seed: people, poses and colors.
        image_divisor: RICH pictures are 4112x3008 divided by this; PROX ones 1920x1080 by half of it.
    """

    seed: Seed
    image_divisor: Annotated[int, Between(1, 32)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSummary:
    """How much was made."""

    rich_images: int
    prox_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """Roots of the three raw trees."""

    rich: Path
    prox: Path
    bodies: Path

    @classmethod
    def below(cls, home: Path) -> "Trees":
        """Under the names that the publishers' archives have."""
        return cls(rich=home / "RICH", prox=home / "PROX", bodies=home / "body_models")


def plain_map(function: Callable[[Any], int], jobs: list[Any]) -> Iterator[int]:
    """Work through the jobs in this process."""
    yield from map(function, jobs)


def generate(
    trees: Trees,
    params: Demo,
    *,
    size: DemoSize | None = None,
    run: Mapper = plain_map,
    family: BodyFamily | None = None,
) -> DemoSummary:
    """Write the three raw trees, replacing what was there.

    Args:
        trees: where they go.
        params: seed and picture size.
        size: how many pictures; the default is the demo's own.
        run: maps jobs, in order; any worker count gives the same bytes.
        family: what ``build_body_models`` makes of the seed, where that is at hand already.
    """
    size = size or DemoSize()
    finals = (trees.rich, trees.prox, trees.bodies)
    with ExitStack() as stack:  # all three appear, or none
        rich, prox, bodies = (stack.enter_context(publish_folder(path)).resolve() for path in finals)
        write_body_models(bodies, family or build_body_models(params.seed))
        return _write_trees(rich, prox, bodies / "models", params, size, run)


def _write_trees(rich: Path, prox: Path, models: Path, params: Demo, size: DemoSize, run: Mapper) -> DemoSummary:
    plans = plan_rich(size)
    write_rich_tables(rich, plans)
    divisor = prox_divisor(params.image_divisor)
    write_prox_common(prox, models, divisor)
    jobs: list[Job] = [
        ProxJob(root=prox, models=models, scene=scene, divisor=divisor, seed=params.seed, size=size)
        for scene in ("vicon", "N0Sofa", "MPH1Library")
    ]
    jobs += [_rich_job(rich, models, plan, params, size) for plan in plans]
    counts = list(run(write_one, jobs))
    return DemoSummary(rich_images=sum(counts[3:]), prox_images=sum(counts[:3]))


def _rich_job(rich: Path, models: Path, plan: ViewPlan, params: Demo, size: DemoSize) -> RichJob:
    moving = tuple(
        s for s in SEQUENCES if s.moving_camera and (s.capture, s.scan) == (plan.capture.name, plan.capture.scan)
    )
    return RichJob(
        root=rich,
        models=models,
        plan=plan,
        divisor=params.image_divisor,
        seed=params.seed,
        size=size,
        with_scan=plan.camera == 0,
        moving=moving if plan.camera == 0 else (),
    )


def write_one(job: Job) -> int:
    """Run one task; gives its number of pictures."""
    return write_rich_view(job) if isinstance(job, RichJob) else write_prox_scene(job)
