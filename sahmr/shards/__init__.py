"""Samples as WebDataset tars: crop, decode, reader for whoever reads; encode, write for who writes."""
