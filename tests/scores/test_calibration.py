"""Probabilities of contact against truth, by hand."""

from __future__ import annotations

import numpy as np

from sahmr.scores.calibration import BINS, calibration_csv, count_contacts

TOUCHING = np.array([[0.0, 0, 0], [1, 0, 0]])


def test_points_near_a_touching_vertex_are_touched() -> None:
    points = np.array([[0.0699, 0, 0], [0.0701, 0, 0], [1, 0.05, 0], [0.5, 0, 0]])
    counts = count_contacts(points, np.array([0.31, 0.39, 1.0, 0.0]), TOUCHING)
    assert counts.shape == (BINS, 3)
    np.testing.assert_allclose(counts[3], [2, 0.7, 1])  # the second is a tenth of a millimetre too far
    np.testing.assert_allclose(counts[9], [1, 1, 1])  # certainty is in the last bin
    np.testing.assert_allclose(counts[0], [1, 0, 0])
    assert counts.sum() == 4 + 1.7 + 2


def test_without_touching_vertices_nothing_is_touched() -> None:
    counts = count_contacts(np.zeros((5, 3)), np.full(5, 0.95), TOUCHING[:0])
    np.testing.assert_allclose(counts[9], [5, 4.75, 0])
    assert not count_contacts(np.zeros((0, 3)), np.zeros(0), TOUCHING).any()


def test_csv_has_the_bins_that_have_points() -> None:
    counts = np.zeros((BINS, 3))
    counts[2], counts[9] = (4, 1.0, 1), (2, 1.9, 2)
    assert calibration_csv(counts).splitlines() == ['"predicted","touched","points"', "0.25,0.25,4", "0.95,1,2"]
    assert calibration_csv(np.zeros((BINS, 3))).splitlines() == ['"predicted","touched","points"']
