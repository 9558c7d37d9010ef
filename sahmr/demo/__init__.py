"""A licence-free dataset in the raw layouts of RICH, PROX and the SMPL family."""
