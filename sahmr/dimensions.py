"""Sizes that all parts agree on; without torch, whose import a conversion would wait for."""

CROP_SIZE = 224  # pixels; the reference's network input
MAP_SIZE = 56  # the heat-maps' side, a quarter of the crop
NUM_VERTICES, NUM_MIDDLE, NUM_COARSE = 6890, 1723, 431
NUM_JOINTS = 14
NUM_PARTS = 8  # contact part ids, 0 = no contact
