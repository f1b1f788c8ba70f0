"""Latent-PMRF: the posterior mean is estimated in pixels, encoded by Sim-VAE and carried by a rectified flow."""
