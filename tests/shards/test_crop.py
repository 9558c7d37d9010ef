import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sahmr.shards import crop
from sahmr.shards.region import reduce, stored_region


def apply(affine: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    return affine[:, :2] @ point + affine[:, 2]


def test_box_is_square_and_centred() -> None:
    box = crop.crop_box(np.array([100.0, 50, 140, 250]))
    np.testing.assert_allclose(box, [5, 35, 235, 265])
    moved = crop.crop_box(
        np.array([100.0, 50, 140, 250]), zoom_range=0.4, jitter_px=8.0, draws=np.array([0.75, 0, 0.5])
    )
    np.testing.assert_allclose(moved, [124 - 135, 142 - 135, 124 + 135, 142 + 135])


def test_corners_of_the_box_go_to_the_first_and_last_pixel_centre() -> None:
    affine = crop.crop_from_image(np.array([10.0, 20, 110, 120]))
    np.testing.assert_allclose(apply(affine, (10, 20)), [0, 0])
    np.testing.assert_allclose(apply(affine, (110, 120)), [223, 223])


def test_area_reduction_and_its_map_agree() -> None:
    columns = np.arange(400, dtype=float)
    ramp = np.broadcast_to((columns / 2)[None, :, None], (200, 400, 3)).astype(np.uint8)
    region = (40, 20, 360, 180)
    stored = reduce(ramp[20:180, 40:360], 80)
    assert stored.shape == (40, 80, 3)
    image_from_stored = crop.invert(crop.stored_from_image(region, 80, 40))
    x = apply(image_from_stored, (30, 10))[0]
    assert x == 40 + 30.5 * 4 - 0.5
    assert stored[10, 30, 0] == pytest.approx(x / 2, abs=1)


def test_compose_and_invert_are_what_they_say() -> None:
    first = crop.crop_from_image(np.array([3.0, 5, 90, 95]))
    second = crop.stored_from_image((10, 20, 110, 220), 50, 60)
    point = (17.0, 29.0)
    np.testing.assert_allclose(apply(crop.compose(second, first), point), apply(second, apply(first, point)))
    np.testing.assert_allclose(apply(crop.invert(second), apply(second, point)), point)


@given(
    center=st.tuples(st.floats(0, 640), st.floats(0, 480)),
    side=st.tuples(st.floats(5, 400), st.floats(5, 400)),
    draws=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3),
)
def test_every_training_crop_lies_in_the_stored_region_or_outside_the_image(center, side, draws) -> None:
    person = np.concatenate([np.array(center) - np.array(side) / 2, np.array(center) + np.array(side) / 2])
    jitter = crop.max_jitter_px(640, 480)
    box = crop.crop_box(person, zoom_range=crop.ZOOM_RANGE, jitter_px=jitter, draws=np.array(draws))
    left, top, right, bottom = stored_region(person, 640, 480, 1.6)
    assert left <= max(box[0], 0)
    assert top <= max(box[1], 0)
    assert right - 1 >= min(box[2], 639)
    assert bottom - 1 >= min(box[3], 479)


@given(
    center=st.tuples(st.floats(0, 4112), st.floats(0, 3008)),
    side=st.tuples(st.floats(5, 4000), st.floats(5, 3000)),
)
def test_stored_regions_lie_on_the_grid_of_quarter_size_images(center, side) -> None:
    person = np.concatenate([np.array(center) - np.array(side) / 2, np.array(center) + np.array(side) / 2])
    region = stored_region(person, 4112, 3008, 1.6)
    assert all(edge % 4 == 0 for edge in region)
    width, height = (region[2] - region[0]) // 4, (region[3] - region[1]) // 4
    quarter = tuple(edge // 4 for edge in region)
    # A pixel of the quarter-size crop is the mean of 16: its centre lies 1.5 pixels from the first one's.
    affine = crop.invert(crop.stored_from_image(region, width, height))
    np.testing.assert_allclose(apply(affine, (2, 3)), [4 * (quarter[0] + 2) + 1.5, 4 * (quarter[1] + 3) + 1.5])


def test_draws_depend_on_seed_epoch_and_key_alone() -> None:
    known = crop.draw(1, 2, "a")
    np.testing.assert_array_equal(known, crop.draw(1, 2, "a"))
    for other in (crop.draw(2, 2, "a"), crop.draw(1, 3, "a"), crop.draw(1, 2, "b")):
        assert (known != other).all()
    many = np.array([crop.draw(0, epoch, "k") for epoch in range(400)])
    np.testing.assert_allclose(many.mean(axis=0), 0.5, atol=0.06)


def test_jitter_scales_with_the_image() -> None:
    assert crop.max_jitter_px(4112, 3008) == 40
    assert crop.max_jitter_px(3008, 4112) == 40
