"""Scans as Zarr: store, visible for whoever reads; build, voxels, distances for who writes."""
