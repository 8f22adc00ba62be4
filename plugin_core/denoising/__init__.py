"""Denoising of a half-map by a network that knows what density looks like."""
