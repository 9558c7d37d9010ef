"""Rooms, furniture and cameras."""
