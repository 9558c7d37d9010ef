"""Body models, regressors and the vertex hierarchies of SMPL topology."""
