"""Full-size JPEG files to stored crops, on one core: ours against decoding, cropping and resizing with Pillow.

Pictures of 4112x3008 with gradients, texture, shapes and noise, about 2 MB each at quality 95. Ours and the baseline
take turns; medians, their ratio, and the largest and mean difference of the stored crops in grey levels.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sahmr.readers.images import read_record_image
from sahmr.shards.encode import Shards, plan_crop
from sahmr.shards.region import reduce
from schemas.frame import FrameRecord
from tests.benchmarks.figures import record

WIDTH, HEIGHT = 4112, 3008
SHARDS = Shards(samples_per_shard=1, max_side_px=320, margin=1.6, jpeg_quality=92)
# Height of the person in pixels: 1.7 m at 5 m and at 11 m with RICH's usual lens.
PEOPLE = {"person of 1200 px": 1200.0, "person of 550 px": 550.0}
SAMPLINGS = {"4:2:0": 2, "4:4:4": 0}


def picture(seed: int) -> np.ndarray:
    """Something between a photograph and a drawing."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    down, across = (
        np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None],
        np.linspace(0, 1, WIDTH, dtype=np.float32)[None, :, None],
    )
    pixels += rng.uniform(90, 160, 3) + rng.uniform(-80, 80, 3) * down + (rng.uniform(-80, 80, 3) * across)
    for cell in (8, 16, 32, 64, 128, 256):
        shape = (HEIGHT // cell + 2, WIDTH // cell + 2)
        noise = rng.normal(size=(*shape, 1)) + 0.3 * rng.normal(size=(*shape, 3))
        pixels += 1.2 * cell**0.5 * cv2.resize(noise.astype(np.float32), (WIDTH, HEIGHT))
    for _ in range(120):
        place, color = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), rng.uniform(0, 255, 3).tolist()
        cv2.circle(pixels, place, int(rng.integers(10, 200)), color, int(rng.choice([-1, 3])), cv2.LINE_AA)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.9)
    return np.clip(pixels + rng.normal(0, 1.2, pixels.shape).astype(np.float32), 0, 255).astype(np.uint8)


def person(path: Path, height_px: float) -> FrameRecord:
    """A person standing in the middle."""
    box = (WIDTH / 2 - height_px / 5, (HEIGHT - height_px) / 2, WIDTH / 2 + height_px / 5, (HEIGHT + height_px) / 2)
    k = (3575.0, 0.0, WIDTH / 2, 0.0, 3575.0, HEIGHT / 2, 0.0, 0.0, 1.0)
    return FrameRecord(
        key=path.stem, dataset="rich", split="train", sequence="s", camera=0, frame=60, subject="005", gender="male",
        intrinsics=k, camera_from_world=tuple(np.eye(4).ravel()), image_width=WIDTH, image_height=HEIGHT,
        person_box=box, scene_key="s", image_file=path.name, image_sha256="", image_divisor=1, mirrored=False,
        body_file="", body_sha256="", contact_file=None, contact_sha256=None,
    )  # fmt: skip


def ours(path: Path, row: FrameRecord) -> Image.Image:
    plan = plan_crop(row, SHARDS)
    return Image.fromarray(reduce(read_record_image(path.parent, row, plan.region, plan.divisor), SHARDS.max_side_px))


def baseline(path: Path, row: FrameRecord) -> Image.Image:
    """Decode all, crop, average down to the same size."""
    region = plan_crop(row, SHARDS).region
    scale = SHARDS.max_side_px / max(region[2] - region[0], region[3] - region[1])
    size = round((region[2] - region[0]) * scale), round((region[3] - region[1]) * scale)
    with Image.open(path) as image:
        return image.convert("RGB").crop(region).resize(size, Image.Resampling.BOX)


def encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=SHARDS.jpeg_quality, subsampling=0)
    return stream.getvalue()


def measure(paths: list[Path], height_px: float, rounds: int) -> tuple[float, float, float, float]:
    """Median seconds of both ways to a stored JPEG, and mean and largest difference of the pixels."""
    ways: dict[Callable[[Path, FrameRecord], Image.Image], list[float]] = {ours: [], baseline: []}
    rows = [(path, person(path, height_px)) for path in paths]
    for turn in range(rounds + 1):  # the first round warms up and does not count
        for path, row in rows:
            for way, seconds in ways.items():
                start = time.perf_counter()
                encode(way(path, row))
                if turn:
                    seconds.append(time.perf_counter() - start)
    off = [np.abs(np.asarray(ours(*one), float) - np.asarray(baseline(*one), float)) for one in rows]
    fast, slow = (statistics.median(seconds) for seconds in ways.values())
    return fast, slow, float(np.mean([o.mean() for o in off])), float(max(o.max() for o in off))


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = []
    cv2.setNumThreads(1)
    print(f"{'':<28}{'ours ms':>9}{'Pillow ms':>11}{'ratio':>7}{'mean off':>10}{'max off':>9}")
    with tempfile.TemporaryDirectory() as folder:
        pictures = [Image.fromarray(picture(seed)) for seed in range(args.images)]
        for sampling, code in SAMPLINGS.items():
            paths = [Path(folder) / f"{number}.jpeg" for number in range(args.images)]
            for path, image in zip(paths, pictures, strict=True):
                image.save(path, quality=95, subsampling=code)
            size = statistics.mean(path.stat().st_size for path in paths) / 1e6
            for name, height_px in PEOPLE.items():
                fast, slow, mean, largest = measure(paths, height_px, args.rounds)
                text = f"{name}, {sampling}"
                names = ("case", "ours_ms", "pillow_ms", "ratio", "mean_difference", "largest_difference")
                figures = (1e3 * fast, 1e3 * slow, slow / fast, mean, largest)
                found.append(dict(zip(names, (text, *(round(figure, 2) for figure in figures)), strict=True)))
                print(f"{text:<28}{1e3 * fast:>9.1f}{1e3 * slow:>11.1f}{slow / fast:>7.2f}{mean:>10.2f}{largest:>9.0f}")
            print(f"{'':<28}{size:.1f} MB a file")
    record(args.out, "python -m tests.benchmarks.images", found)


if __name__ == "__main__":
    main()
