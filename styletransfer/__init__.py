"""Neural style transfer by optimisation (Gatys et al. 2015) on MXNet's symbolic executors."""
