"""SA-HMR: human mesh recovery in 3D scenes, as a library."""
