"""Sparse 3D convolution without a compiler."""
