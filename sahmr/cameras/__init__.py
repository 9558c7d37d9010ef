"""Cameras as people have them, in one convention: OpenCV's."""
