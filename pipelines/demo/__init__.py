"""The demo stage; it has a dvc.yaml of its own, so that it runs only while ``raw`` points at its outputs."""
