"""What the pre-training is made of: its settings, what the command line asks for, and what cannot be followed."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines import evaluate, predict, train_rcnet, train_sahmr
from pipelines.conversion.parallel import Parallel
from pipelines.demo.pretrain_crops import DATASET, SEED, ZOOM_MOST, split_of
from sahmr.errors import SettingsError
from sahmr.params_file import read_params
from sahmr.settings import Paths, load_roots, load_section
from sahmr.training.build import Network
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.setup import TrainingSettings

RECIPE = Path("pipelines/demo/pretrain.yaml")
FURTHER = Path("pipelines/demo/pretrain_further.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The sections of ``pipelines/demo/pretrain.yaml``, checked as those of params.yaml are.

    Attributes:
        train_rcnet: None: the root-and-contact network of ``network.initial_checkpoint`` stays as it is.
    """

    parallel: Parallel
    network: Network
    train_rcnet: train_rcnet.TrainRcnet | None
    train_sahmr: train_sahmr.TrainSahmr
    predict: predict.Predict
    evaluate: evaluate.Evaluate

    @property
    def trainings(self) -> dict[str, TrainingSettings]:
        """Those that there are, by the names of their sections."""
        both = {"train_rcnet": self.train_rcnet, "train_sahmr": self.train_sahmr}
        return {name: section for name, section in both.items() if section is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for.

    Attributes:
        rooms, crops: how many rooms, and how many crops of each.
        seed: of rooms, people, poses and cameras.
        workers, loaders: processes that render, and that decode crops for the trainings; None: as the recipe says.
        home: folder of all that is made on the way.
        output: the weights file; its card lies beside it.
        recipe: the settings.
    """

    rooms: int = 290
    crops: int = 42
    seed: int = SEED
    workers: int | None = None
    loaders: int | None = None
    home: Path = Path("data/pretrain")
    output: Path = Path("sahmr/demo/pretraining/start.pt")
    recipe: Path = RECIPE

    @property
    def command(self) -> str:
        """The command line that remakes the weights."""
        changed = [(name, getattr(self, name)) for name in ("recipe", "rooms", "crops", "seed", "output")]
        words = [f"--{name} {shlex.quote(str(value))}" for name, value in changed if value != getattr(DEFAULT, name)]
        return " ".join(["python -m pipelines.demo.pretrain", *words])

    def rooms_of(self, split: str) -> int:
        """How many rooms a split has."""
        return sum(split_of(room) == split for room in range(self.rooms))

    def steps(self, section: TrainingSettings) -> int:
        """Of a whole training."""
        return section.epochs * -(-self.rooms_of("train") * self.crops // section.batch_size)

    @property
    def paths(self) -> Paths:
        """Every output in a folder of its own name below ``home``."""
        return Paths(**{name: self.home / name for name in Paths.__dataclass_fields__})


DEFAULT = Order()


def read_recipe(path: Path) -> Recipe:
    """The settings.

    Raises:
        SettingsError: naming each key that is wrong; or if a training would widen crops by more than was rendered, or
            there is no root-and-contact network.
    """
    has_first = "train_rcnet" in read_params(path)
    recipe = Recipe(
        parallel=load_section("parallel", Parallel, path),
        network=load_section("network", Network, path),
        train_rcnet=load_section("train_rcnet", train_rcnet.TrainRcnet, path) if has_first else None,
        train_sahmr=load_section("train_sahmr", train_sahmr.TrainSahmr, path),
        predict=load_section("predict", predict.Predict, path),
        evaluate=load_section("evaluate", evaluate.Evaluate, path),
    )
    if not has_first and recipe.network.initial_checkpoint is None:
        raise SettingsError(
            f"{path}: network.initial_checkpoint: found null and no section train_rcnet, allowed weights whose "
            "root-and-contact network stays, or that section; write one of them"
        )
    for name, section in recipe.trainings.items():
        if section.zoom_range > ZOOM_MOST + 1e-9:
            raise SettingsError(
                f"{path}: {name}.zoom_range: found {section.zoom_range}, allowed a number from 0 to {ZOOM_MOST:.2g}, "
                "which stored crops have room for; edit the value"
            )
        if list(section.datasets) != [DATASET]:
            raise SettingsError(
                f"{path}: {name}.datasets: found {', '.join(section.datasets)}, allowed {DATASET}, whose labels crops "
                "have; edit the value"
            )
    return recipe


def check_home(home: Path) -> None:
    """Refuse to replace what is not ours.

    Raises:
        SettingsError: if the folder holds, or lies in, an output of the stages or a raw tree.
    """
    places = {f"paths.{name}": place for name, place in asdict(load_section("paths", Paths)).items()}
    places |= {f"raw.{name}": place for name, place in load_roots().items()}
    for name, place in places.items():
        inner, outer = home.resolve(), place.resolve()
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise SettingsError(
                f"--home: found {str(home)!r}, allowed a folder outside of {name} ({place}) and not around it: folders "
                "in it are replaced; give another"
            )


def check_start(order: Order, recipe: Recipe) -> None:
    """Refuse weights to start from that would fail after an hour of rendering, and an output that replaces them.

    Raises:
        SettingsError: naming the output: the command could not be given again; or the weights, if the network that
            shall stay is not among them.
        CheckpointError: if they are missing or damaged.
    """
    start = recipe.network.initial_checkpoint
    if start is None:
        return
    if start.resolve() == order.output.resolve():
        raise SettingsError(
            f"--output: found '{order.output}', which {order.recipe} starts from, allowed another file; give one, and "
            "move it there when it is done"
        )
    found = read_checkpoint(start)
    if recipe.train_rcnet is None and not any(name.startswith("rcnet.") for name in found.network):
        raise SettingsError(
            f"{order.recipe}: network.initial_checkpoint: found {start}, without a root-and-contact network, allowed "
            "weights of both networks, as there is no section train_rcnet; edit the value, or write the section"
        )


def check_length(order: Order, recipe: Recipe) -> None:
    """Refuse trainings that end before their rate has peaked: they would fail hours later.

    Raises:
        SettingsError: naming options and key.
    """
    for name, section in recipe.trainings.items():
        steps = order.steps(section)
        if section.warmup_steps > steps:
            raise SettingsError(
                f"--rooms {order.rooms} --crops {order.crops}: found {steps} steps of {name}, allowed at least "
                f"{section.warmup_steps}, its warmup_steps in {order.recipe}; ask for more, or edit the value"
            )
