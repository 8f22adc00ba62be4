"""The figures that follow a refinement, from two raw half-maps."""
