"""Training of the denoiser on pairs of half-maps (Kimanius et al. 2024, Eqns 1 to 3)."""
