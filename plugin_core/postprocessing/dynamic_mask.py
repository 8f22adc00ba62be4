"""Solvent mask from a map: threshold, dilate, soften (Punjani et al., Supplement)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugin_core.backend import Array, array_module, to_host


@dataclass(frozen=True)
class Margins:
    """How far the mask reaches beyond the density, in Å.

    The mask is 1 up to `near_angstrom` from the density and falls to 0 at `far_angstrom`. The
    defaults, 6 and 14 Å, are the dilation of 6 Å and the cosine edge of 8 Å of Punjani et al., and
    those of cryoSPARC before version 5.
    """

    near_angstrom: float = 6.0
    far_angstrom: float = 14.0

    def __post_init__(self) -> None:
        if not 0 <= self.near_angstrom < self.far_angstrom:
            raise ValueError(
                "a mask's near margin must be at least 0 and less than its far margin, not "
                f"{self.near_angstrom:g} and {self.far_angstrom:g} Å"
            )

    @classmethod
    def at_resolution(
        cls, resolution_angstrom: float, near: float = 2.0, far: float = 14 / 3
    ) -> Margins:
        """Margins in multiples of the current resolution, as cryoSPARC has them since version 5.

        Its documentation does not give its multiples. The defaults are ours: those that make
        6 and 14 Å at a resolution of 3 Å.
        """
        return cls(near * resolution_angstrom, far * resolution_angstrom)


def dynamic_mask(
    volume: Array, voxel_size: float, threshold: float = 0.2, margins: Margins = Margins()
) -> Array:
    """Soft mask about everything denser than a fraction of the map's maximum.

    Parameters
    ----------
    volume : (N, N, N) float32
        Low-passed or regularised average of the half-maps, density positive: in a raw map the
        noise alone would pass the threshold.
    voxel_size : float
        In Å.
    threshold : float
        Fraction of the maximum, between 0 and 1.
    margins : Margins

    Returns
    -------
    (N, N, N) float32
        0 to 1, on the device of `volume`.

    Raises
    ------
    ValueError
        If the threshold is not between 0 and 1, or the map has no positive density.
    """
    from scipy.ndimage import distance_transform_edt

    if not 0 < threshold < 1:
        raise ValueError(f"the mask threshold must be between 0 and 1, not {threshold:g}")
    density = to_host(volume)
    highest = float(density.max())
    if not highest > 0:
        raise ValueError("no mask can be made: the map has no positive density")
    dense = density > threshold * highest
    block = _bounding_block(dense, int(np.ceil(margins.far_angstrom / voxel_size)))
    distance = voxel_size * distance_transform_edt(~dense[block])
    fall = (distance - margins.near_angstrom) / (margins.far_angstrom - margins.near_angstrom)
    mask = np.zeros(density.shape, dtype=np.float32)
    mask[block] = 0.5 + 0.5 * np.cos(np.pi * np.clip(fall, 0, 1))
    return array_module(volume).asarray(mask)


def _bounding_block(dense: np.ndarray, margin: int) -> tuple[slice, ...]:
    """Block that holds all dense voxels and `margin` voxels more: beyond it the mask is 0."""
    block = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(dense.any(axis=others))
        block.append(slice(max(occupied[0] - margin, 0), occupied[-1] + margin + 1))
    return tuple(block)
