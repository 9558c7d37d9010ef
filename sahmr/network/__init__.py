"""The SA-HMR network."""
