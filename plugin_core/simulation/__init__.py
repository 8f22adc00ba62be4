"""Simulated single-particle images with known truth: arrays only, no files.

Conventions are those of RELION: rotations are ZYZ Euler triplets (rot, tilt, psi) in degrees, an
image is the integral along the rotated z axis, protein is positive before the CTF.
"""
