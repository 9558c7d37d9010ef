"""Pure torch geometry: cameras, frustums, voxels, alignment."""
