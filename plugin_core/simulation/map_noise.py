"""Noise of an unregularised reconstruction: its spectrum, its directions, a draw of it.

The noise variance of a Fourier voxel is one over its weight, the sum over particles of CTF² /
sigma². So it is sigma² over the mean CTF², times the frequency (the views that cross a voxel get
fewer with the frequency), over the density of views at right angles to the voxel's direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import hyp1f1, i0e

from plugin_core.fourier import irfftn, rfftn
from plugin_core.simulation.ctf import Optics, contrast_transfer
from plugin_core.simulation.molecule import squared_frequency


@dataclass(frozen=True)
class NoiseSpectrum:
    """Shape of sigma², the noise power of the images, and the defoci it is divided by CTF² of.

    sigma²(s) = 1 + excess exp(-(s / excess_width)²) + rise s / (0.3/Å). The defaults follow the
    rlnSigma2Noise of two sets of beta-galactosidase (RELION's tutorial, EMPIAR-10204: RELION 3.0.5
    at 0.885 Å/pixel, RELION 4 at 1.245) with a standard deviation of 8 % over shells 5 to 128, and
    what they make of the map's noise follows the rlnReferenceSigma2 of these.

    Attributes
    ----------
    excess, rise : float
    excess_width : float
        In 1/Å.
    defocus_range : pair of float
        In Å; the mean of CTF² is over defoci spread evenly between the two.
    optics : Optics
    """

    excess: float = 5.0
    excess_width: float = 0.05
    rise: float = 3.0
    defocus_range: tuple[float, float] = (8000.0, 22000.0)
    optics: Optics = Optics()

    def image_power(self, frequency: NDArray[np.floating]) -> NDArray[np.floating]:
        """sigma² at spatial frequencies in 1/Å."""
        low = self.excess * np.exp(-((frequency / self.excess_width) ** 2))
        return 1 + low + self.rise * frequency / 0.3

    def map_power(self, box: int, voxel_size: float) -> NDArray[np.float64]:
        """Noise power of the map per shell, (box // 2 + 1,), up to a constant."""
        defoci = np.linspace(*self.defocus_range, 200)
        ctf = contrast_transfer(box, voxel_size, self.optics, defoci)[:, 0, :]
        frequency = np.fft.rfftfreq(box, voxel_size)
        # The views that cross the voxels of shell 0 are all: as many as at half a shell.
        radius = np.maximum(np.arange(box // 2 + 1), 0.5)
        return radius * self.image_power(frequency) / (ctf.astype(np.float64) ** 2).mean(axis=0)


@dataclass(frozen=True)
class Views:
    """Distribution of viewing directions: even ones, mixed with a Watson distribution.

    The density of the preferred views at an angle a from `axis` goes with exp(kappa cos² a):
    positive `kappa` for views along the axis (which leave a poorly measured cone about it),
    negative for views from the side. `preferred` is their fraction.
    """

    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)
    kappa: float = 0.0
    preferred: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.preferred < 1:
            raise ValueError(
                f"the fraction of preferred views must be from 0 to below 1, not {self.preferred:g}"
            )

    def crossing(self, cosine: NDArray[np.floating]) -> NDArray[np.float64]:
        """Density of the views at right angles to a direction, 1 for even views.

        It is the mean of the density over the great circle about the direction (central-slice
        theorem), here in closed form.

        Parameters
        ----------
        cosine : array
            Of the angle between direction and axis.
        """
        half = self.kappa * (1 - np.asarray(cosine, dtype=np.float64) ** 2) / 2
        mean = i0e(np.abs(half)) * np.exp(half + np.abs(half)) / hyp1f1(0.5, 1.5, self.kappa)
        return 1 - self.preferred + self.preferred * mean

    def relative_noise(self, cosine: NDArray[np.floating]) -> NDArray[np.float64]:
        """Noise power in a direction, relative to the mean over the shell."""
        nodes, weights = np.polynomial.legendre.leggauss(200)
        mean = (weights / self.crossing(nodes)).sum() / 2
        return 1 / (mean * self.crossing(cosine))


def directional_power(
    box: int, spectrum: NDArray[np.floating], views: Views
) -> NDArray[np.float32]:
    """Noise power of every voxel of the half-complex grid.

    Parameters
    ----------
    box : int
    spectrum : (box // 2 + 1,)
        Mean power of each shell; between shells it is interpolated, beyond the last it stays.
    views : Views

    Returns
    -------
    (box, box, box // 2 + 1) float32
    """
    radius = box * np.sqrt(squared_frequency(box, 1.0))
    power = np.interp(radius, np.arange(box // 2 + 1), spectrum)
    if views.preferred > 0:
        full, half = np.fft.fftfreq(box, 1 / box), np.fft.rfftfreq(box, 1 / box)
        x, y, z = np.asarray(views.axis) / np.linalg.norm(views.axis)
        along = full[:, None, None] * z + full[:, None] * y + half * x
        power *= views.relative_noise(along / np.maximum(radius, 1e-6))
    return power.astype(np.float32)


def draw_map_noise(power: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw Gaussian noise (box, box, box) whose unnormalised transform has the given mean power."""
    box = power.shape[0]
    transform = rfftn(rng.standard_normal((box,) * 3, dtype=np.float32))
    transform *= np.sqrt(power / np.float32(box**3))
    return irfftn(transform, box)
