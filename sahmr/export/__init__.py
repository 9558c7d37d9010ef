"""Predictions as files for other programs: meshes and SMPL parameters."""
