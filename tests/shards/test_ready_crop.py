"""A publisher's ready-made crop reaches the network bit for bit, by way of the shard and its index."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from sahmr.errors import RawDataError, ShardError
from sahmr.shards.crop import box_of_crop, crop_box
from sahmr.shards.decode import StoredSample, crop_stored, decode_sample
from sahmr.shards.encode import encode_sample, plan_crop
from schemas.frame import FrameRecord
from tests.worlds import small

SQUARE = np.array([-31.25, 12.5, 168.125, 211.875])
PIXELS = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def ready() -> FrameRecord:
    return replace(small.record(0), box_source="crop", person_box=tuple(box_of_crop(SQUARE).tolist()))


def members(pixels: np.ndarray = PIXELS) -> dict[str, bytes]:
    return encode_sample(ready(), pixels, small.vertices(0), small.contact(0), small.SHARDS)


def decoded(content: dict[str, bytes]) -> StoredSample:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(f"a.{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return decode_sample(stream.getvalue(), place="here")


def test_the_pixels_are_those_of_the_file() -> None:
    content = members()
    assert sorted(content) == ["contact.npy", "json", "png", "vertices.npy"]
    assert json.loads(content["json"])["member_version"] == "1.2"
    sample = decoded(content)
    box = crop_box(sample.person_box)
    np.testing.assert_allclose(box, SQUARE, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(crop_stored(sample, box), PIXELS)


def test_another_box_is_cut_out_of_the_crop() -> None:
    """The right half, at twice the size: pixel 0 is the crop's column 111.5."""
    left, top, right, _ = SQUARE
    half = np.array([(left + right) / 2, top, right, top + (right - left) / 2])
    flat = np.repeat(np.repeat(np.arange(224, dtype=np.uint8)[None, :, None], 224, axis=0), 3, axis=2)
    found = crop_stored(decoded(members(flat)), half)
    np.testing.assert_allclose(found[10, [0, 223], 0], [111.5, 223], atol=1)


def test_a_whole_image_is_stored_as_before() -> None:
    content = small.members(small.record(0))
    assert "png" not in content and json.loads(content["json"])["member_version"] == "1.1"


def test_a_crop_of_another_size_is_refused() -> None:
    assert plan_crop(ready(), small.SHARDS).shape == (224, 224, 3)
    with pytest.raises(RawDataError, match=r"image is \(224, 220, 3\) uint8, its record asks for \(224, 224, 3\)"):
        members(PIXELS[:, :220])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda png: png[:-1], "png is cut|damaged or unknown part"),
        (lambda png: png[:200] + bytes([png[200] ^ 1]) + png[201:], "damaged or unknown part b'IDAT'"),
        (lambda png: png[:16] + b"\x7f\xff" + png[18:], "not RGB of the stored size"),
        (lambda png: b"", "png is no PNG"),
    ],
)
def test_damaged_pictures_are_one_error(change: object, says: str) -> None:
    content = members()
    with pytest.raises(ShardError, match=rf"here: damaged \(.*({says})"):
        decoded({**content, "png": change(content["png"])})


def test_a_claim_of_another_size_is_refused() -> None:
    content = members()
    meta = {**json.loads(content["json"]), "stored_size": [225, 224]}
    with pytest.raises(ShardError, match=r"stored_size is .*, a ready-made crop has 224 x 224"):
        decoded({**content, "json": json.dumps(meta).encode()})
