"""A made-up family of body models."""
