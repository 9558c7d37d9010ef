"""Poses, clothes and where people touch the room."""
