"""How much of a masked FSC is the mask's own doing (Chen et al., Ultramicroscopy 2013).

Beyond some shell the phases of both half-maps are replaced by random ones. What correlation is
then left under the mask is the mask's, and :func:`corrected_fsc` takes it out.
"""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array, array_module
from plugin_core.fourier import irfftn, rfftn, squared_radius

CORRECTION_DELAY = 2
"""Shells between the first randomised and the first corrected one, as in RELION: the mask smears
the step from true to random phases over its neighbours."""


def randomize_phases(volume: Array, first_shell: int, seed: int | tuple[int, ...]) -> Array:
    """Replace the phases from `first_shell` on by random ones; amplitudes stay.

    Parameters
    ----------
    volume : (N, N, N) float32
    first_shell : int
    seed : int or tuple of int
        Of numpy's default generator. The numbers are drawn on the host, so a seed means the same
        phases on every device.

    Returns
    -------
    (N, N, N) float32
    """
    xp = array_module(volume)
    box = volume.shape[0]
    # Phases of a real noise map keep Friedel's symmetry, hence every amplitude.
    noise = np.random.default_rng(seed).standard_normal(volume.shape, dtype=np.float32)
    phases = rfftn(xp.asarray(noise))
    phases /= abs(phases)
    transform = rfftn(volume)
    random = squared_radius(box, xp) >= (first_shell - 0.5) ** 2
    return irfftn(xp.where(random, abs(transform) * phases, transform), box)


def corrected_fsc(
    masked: np.ndarray, randomised: np.ndarray, first_random_shell: int
) -> np.ndarray:
    """FSC without the mask's part, (FSC_t - FSC_n) / (1 - FSC_n) (Chen et al.).

    Parameters
    ----------
    masked : (N // 2 + 1,) float64
        FSC_t, of the masked half-maps.
    randomised : (N // 2 + 1,) float64
        FSC_n, of the half-maps with randomised phases under the same mask.
    first_random_shell : int
        Shell from which the phases are random. The correction sets in two shells later.

    Returns
    -------
    (N // 2 + 1,) float64
        Not clipped: noise about zero has both signs.
    """
    corrected = np.array(masked, dtype=np.float64)
    beyond = slice(first_random_shell + CORRECTION_DELAY, None)
    corrected[beyond] = (corrected[beyond] - randomised[beyond]) / (1 - randomised[beyond])
    return corrected
