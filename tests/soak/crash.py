"""Kill conversions at random moments: ``python -m tests.soak.crash --rounds 50 --seed 1``.

Every round starts from no outputs and a partly filled work store, kills (SIGKILL) one to three of worker, nanny,
scheduler, driver and ``dvc``, and repeats the run until it succeeds. Throughout, a thread insists that whatever has its
final name is whole. At the end of a round the outputs must equal those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.soak.processes import Cluster, cluster, family, kill_family, until
from tests.soak.road import STAGES, write_params
from tests.soak.sandbox import RAW, Sandbox
from tests.soak.watch import Watch, outputs, pieces, whole

# One round each, again and again. cluster: scheduler and two workers from the command line; local: two local processes;
# beside: a second run is started while the first works, as beside an orphan; dvc: all of it under dvc repro.
KINDS = ("cluster", "beside", "cluster", "local", "cluster", "local", "cluster", "local", "cluster", "dvc")
_DELAY_S = 0.3
_HANG_S = 300.0


@dataclass
class Tally:
    """What happened.

    Attributes:
        kills: by victim.
        endings: of disturbed runs, by exit code and kind of message.
        attempts: how many runs it took until one succeeded, by number.
        looks, seen: of the watching thread.
        problems: whatever must not happen, one line each.
    """

    kills: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    looks: int = 0
    seen: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        told = [f"{name}: {dict(sorted(getattr(self, name).items()))}" for name in ("kills", "endings", "attempts")]
        told.append(f"looked {self.looks} times, saw {self.seen} files and folders appear")
        return [*told, f"problems: {len(self.problems)}", *self.problems]


class Crash:
    """Rounds in one sandbox.

    Args:
        folder: for the sandbox and the logs.
        demo: holds ``RICH``, ``PROX`` and ``body_models``.
        seed: of all random choices.
        stages: as for ``tests.soak.road``.
        with_dvc: needed for rounds of the kind ``dvc``.
    """

    def __init__(
        self, folder: Path, demo: Path, *, seed: int, stages: tuple[str, ...] = STAGES, with_dvc: bool = True
    ) -> None:
        self._random, self._all, self._with_dvc = random.Random(seed), stages, with_dvc
        self._stages = stages
        self._folder = folder
        self.box = Sandbox(folder / "box", demo)
        self.tally = Tally()
        self._run_calm()

    def _run_calm(self) -> None:
        if self._with_dvc:
            self._must(self.box.repro("bodies", log=self._folder / "calm.log"))
            self.box.remember()
            self._must(self.box.repro(log=self._folder / "calm.log"))
            self._lock = (self.box.folder / "dvc.lock").read_bytes()
        else:
            self._must(self.box.run("bodies", *self._stages, log=self._folder / "calm.log"))
        self.expected = whole(self.box.folder)

    def _must(self, process: subprocess.Popen[str]) -> None:
        assert process.wait(300) == 0, (self._folder / "calm.log").read_text()[-2000:]

    def round(self, number: int, kind: str) -> None:
        """Disturb a run, repeat it until it succeeds, compare."""
        folder = self._folder / f"round-{number}"
        folder.mkdir()
        datasets = sorted({name.rpartition(":")[2] for name in self._all})
        chosen = self._random.choice(datasets)
        self._stages = tuple(name for name in self._all if kind == "dvc" or name.endswith(chosen))
        self._prepare(kind)
        with Watch(self.box.folder, self.expected, folders_too=kind != "dvc") as watch:
            getattr(self, f"_disturb_{kind}")(folder)
            self._repeat(folder, kind)
        self.tally.looks += watch.looks
        self.tally.seen += watch.seen
        problems = [*watch.violations, *self._differences()]
        for line in problems:
            self._blame(f"round {number} ({kind}): {line}")

    def _blame(self, line: str) -> None:
        print(line, flush=True)
        self.tally.problems.append(line)

    def _prepare(self, kind: str) -> None:
        """No outputs; of the finished pieces all, none or a random half."""
        self.box.clear()
        if kind == "dvc":
            self.box.recall()
        share = self._random.choice((0.0, 0.0, 0.5, 1.0))
        for piece in sorted(pieces(self.box.folder)):
            if self._random.random() >= share:
                shutil.rmtree(piece)

    def _disturb_cluster(self, folder: Path) -> None:
        write_params(self.box.folder, RAW)
        with cluster(folder, self.box.start(SOAK_DELAY_S=str(_DELAY_S))) as made:
            settings = {"DASK_SCHEDULER_ADDRESS": made.address, "SAHMR_WAIT_FOR_WORKERS_S": "5"}
            self._disturb(self._drive(folder, **settings), folder, made)

    def _disturb_local(self, folder: Path) -> None:
        write_params(self.box.folder, RAW, workers=2)
        self._disturb(self._drive(folder), folder)

    def _disturb_beside(self, folder: Path) -> None:
        write_params(self.box.folder, RAW, workers=self._random.choice((0, 2)))
        first = self._drive(folder)
        self._wait_for_moment(first)
        second = self._drive(folder, log="beside")
        if self._random.random() < 0.5:
            self._disturb(first, folder)
        else:
            self._judge(first, folder / "run.log", was_killed=False)
        self._judge(second, folder / "beside.log", was_killed=False)

    def _disturb_dvc(self, folder: Path) -> None:
        write_params(self.box.folder, RAW, workers=2)
        driver = self.box.repro(log=folder / "run.log", SOAK_DELAY_S=str(_DELAY_S))
        self._disturb(driver, folder)

    def _drive(self, folder: Path, *, log: str = "run", **changes: str) -> subprocess.Popen[str]:
        return self.box.run(*self._stages, log=folder / f"{log}.log", SOAK_DELAY_S=str(_DELAY_S), **changes)

    def _disturb(self, driver: subprocess.Popen[str], folder: Path, made: Cluster | None = None) -> None:
        """Kill one to three processes; then wait for the driver's end, which must come by itself."""
        was_killed = False
        for _ in range(self._random.choice((1, 1, 2, 3))):
            self._wait_for_moment(driver)
            choices = [(name, process) for name, some in _victims(driver, made).items() for process in some]
            names = sorted({name for name, _ in choices})
            if not names or driver.poll() is not None:
                break
            name = self._random.choice(names)
            victim = self._random.choice([process for found, process in choices if found == name])
            with suppress(psutil.NoSuchProcess):
                victim.kill()
                self.tally.kills[name] += 1
            was_killed |= victim.pid == driver.pid or name == "stage"  # DVC tells its stage's death in its own words
        self._judge(driver, folder / "run.log", was_killed=was_killed)

    def _wait_for_moment(self, driver: subprocess.Popen[str]) -> None:
        """Mostly some time after the first piece was begun, else any time."""
        if self._random.random() < 0.8:
            with suppress(AssertionError):
                until(lambda: driver.poll() is not None or self._is_at_work(), "a piece", seconds=60)
        time.sleep(self._random.random() * 5)

    def _is_at_work(self) -> bool:
        """Whether a piece or an output is being made."""
        data = self.box.folder / "data"
        return any((data / "work/tmp").glob("[fs]*-*")) or any(data.glob("s*/.*"))

    def _judge(self, driver: subprocess.Popen[str], log: Path, *, was_killed: bool) -> None:
        """A run ends by itself, and if it fails, with a message of ours and no traceback."""
        try:
            code = driver.wait(_HANG_S)
        except subprocess.TimeoutExpired:
            self._blame(f"{log}: hangs")
            kill_family([driver])
            return
        told = log.read_text()
        errors = [line.partition("error: ")[2] for line in told.splitlines() if "error: " in line]
        if "Traceback" in told or (code != 0 and not was_killed and not errors):
            self._blame(f"{log}: exit code {code} and no clear error, or a traceback")
        kind = "killed" if was_killed else f"exit {code}"
        self.tally.endings[": ".join([kind, *(error[:40] for error in errors[-1:])])] += 1

    def _repeat(self, folder: Path, kind: str) -> None:
        for attempt in range(1, 6):
            log = folder / f"repeat-{attempt}.log"
            if kind == "dvc":
                run = self.box.repro(log=log)
            else:
                write_params(self.box.folder, RAW, workers=self._random.choice((0, 0, 2)))
                run = self.box.run(*self._stages, log=log)
            self._judge(run, log, was_killed=False)
            if run.returncode == 0:
                self.tally.attempts[attempt] += 1
                return
        self._blame(f"{folder}: no success in 5 attempts")

    def _differences(self) -> list[str]:
        found = {name: sha for name, sha in outputs(self.box.folder).items() if not Path(name).name.startswith(".")}
        datasets = {name.rpartition(":")[2] for name in self._stages}
        wanted = {name: sha for name, sha in self.expected.outputs.items() if any(word in name for word in datasets)}
        odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        return [f"{len(odd)} files differ from the undisturbed run's: {odd[:3]}"] if odd else []

    def finish(self) -> None:
        """After all rounds: ``dvc repro`` must give the undisturbed run's ``dvc.lock`` and leave nothing unfinished."""
        self._stages = self._all
        self.box.clear()
        self.box.recall()
        self._must(self.box.repro(log=self._folder / "calm.log"))
        left = [path.name for path in (self.box.folder / "data/work/tmp").iterdir()]
        problems = [*self._differences(), *(f"left in the work store: {name}" for name in left)]
        if (self.box.folder / "dvc.lock").read_bytes() != self._lock:
            problems.append("dvc.lock differs")
        for line in problems:
            self._blame(f"at the end: {line}")


def _victims(driver: subprocess.Popen[str], made: Cluster | None) -> dict[str, list[psutil.Process]]:
    """Processes that may be killed, by what they are."""
    below = family(driver)[1:]
    found = {"driver": family(driver)[:1], "worker": [process for process in below if _is_worker(process)]}
    stages = [process for process in below if _has(process, "pipelines.")]
    if stages:  # the driver is dvc
        found = {"dvc": found["driver"], "stage": stages, "worker": found["worker"]}
    if made is not None:
        found["scheduler"] = family(made.scheduler)[:1]
        found["nanny"] = [process for worker in made.workers for process in family(worker)[:1]]
        found["worker"] = [child for worker in made.workers for child in family(worker)[1:] if _is_worker(child)]
    return found


def _is_worker(process: psutil.Process) -> bool:
    return _has(process, "spawn_main")


def _has(process: psutil.Process, word: str) -> bool:
    with suppress(psutil.Error):
        return any(word in part for part in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    return False


def main() -> None:
    """Run rounds and print what happened; exit code 1 if anything happened that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--demo", type=Path, help="folder of RICH, PROX and body_models (default: made)")
    parser.add_argument("--keep", type=Path, help="work in this new folder and keep it (default: a temporary one)")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-")))
        crash = Crash(folder, asked.demo or _make_demo(folder / "demo"), seed=asked.seed)
        started = time.monotonic()
        for number in range(asked.rounds):
            kind = KINDS[number % len(KINDS)]
            begun = time.monotonic()
            crash.round(number, kind)
            print(
                f"round {number} {kind}: {time.monotonic() - begun:.0f} s, {len(crash.tally.problems)} problems",
                flush=True,
            )
        crash.finish()
        print(f"{asked.rounds} rounds in {time.monotonic() - started:.0f} s", *crash.tally.lines(), sep="\n")
    raise SystemExit(bool(crash.tally.problems))


def _make_demo(folder: Path) -> Path:
    from sahmr.demo.generate import Demo, Trees, generate
    from sahmr.demo.publishers.rich_plan import TINY

    generate(Trees.below(folder), Demo(seed=7, image_divisor=16), size=TINY)
    return folder


if __name__ == "__main__":
    main()
