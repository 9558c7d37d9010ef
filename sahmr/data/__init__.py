"""Shards, scene stores, crops, targets and the loader."""
