"""The contrast transfer function in RELION's sign: white protein, positive at low frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Optics:
    """What all images of one microscope share."""

    voltage_kilovolt: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.1

    @property
    def wavelength_angstrom(self) -> float:
        """Relativistic wavelength of the electron in Å."""
        volt = self.voltage_kilovolt * 1e3
        return float(12.2643247 / np.sqrt(volt * (1.0 + volt * 0.978466e-6)))


def contrast_transfer(
    box: int,
    voxel_size: float,
    optics: Optics,
    defocus_u: ArrayLike,
    defocus_v: ArrayLike | None = None,
    defocus_angle: ArrayLike = 0.0,
) -> NDArray[np.float32]:
    """Return CTFs on the half-complex grid of `numpy.fft.rfft2`, shape (n, box, box // 2 + 1).

    CTF(k) = sin(pi lambda dz(k) k^2 - pi/2 Cs lambda^3 k^4 + asin(Q)), with k in 1/Å, amplitude
    contrast Q, and dz(k) the defocus along the direction of k: `defocus_u` in Å at `defocus_angle`
    degrees from the x axis, `defocus_v` at right angles (equal to `defocus_u` if not given).
    Underfocus is positive. Each of the three is a scalar or has shape (n,).
    """
    defocus_v = defocus_u if defocus_v is None else defocus_v
    u, v, angle = np.broadcast_arrays(
        *(
            np.atleast_1d(np.asarray(item, dtype=np.float64))[:, None, None]
            for item in (defocus_u, defocus_v, defocus_angle)
        )
    )
    ky = np.fft.fftfreq(box, voxel_size)[:, None]
    kx = np.fft.rfftfreq(box, voxel_size)[None, :]
    k2 = kx**2 + ky**2
    azimuth = np.arctan2(ky, kx)
    defocus = 0.5 * (u + v) + 0.5 * (u - v) * np.cos(2.0 * (azimuth - np.radians(angle)))
    wavelength = optics.wavelength_angstrom
    aberration = optics.spherical_aberration_mm * 1e7
    phase = np.pi * wavelength * defocus * k2 - 0.5 * np.pi * aberration * wavelength**3 * k2**2
    return np.sin(phase + np.arcsin(optics.amplitude_contrast)).astype(np.float32)
