"""Photographs of the people in their rooms."""
