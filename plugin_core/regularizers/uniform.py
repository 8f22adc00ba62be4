"""Uniform regularisation: one Wiener filter for the whole map, the baseline of the local ones.

In the hook RELION's own reconstruction with its prior takes its place; this one serves half-maps
that come without weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plugin_core.fourier import apply_radial, irfftn, radii, rfftn, shell_power, shell_to_angstrom
from plugin_core.fsc import last_shell_above
from plugin_core.regularizers.interface import Regularized, RegularizerInput


def regularize(
    inputs: RegularizerInput,
    parameters: None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Regularized:
    """Multiply every shell by its signal fraction, signal / (signal + noise).

    That is the FSC where the noise power comes from it (Rosenthal & Henderson, J. Mol. Biol.
    2003). There is no map of local cutoffs; the summary tells where half of the power is noise.

    Raises
    ------
    ValueError
        If the noise power is not given.
    """
    box = inputs.half_map.shape[0]
    masked = inputs.half_map * inputs.support
    signal = _signal_fraction(inputs)
    gain = np.interp(radii(box), np.arange(len(signal)), signal, right=0)
    volume = irfftn(apply_radial(rfftn(masked), gain), box)
    cutoff = shell_to_angstrom(max(last_shell_above(signal, 0.5), 1), box, inputs.voxel_size)
    progress(1, 1)
    return Regularized(volume, None, {"half_noise_angstrom": round(cutoff, 3)})


def _signal_fraction(inputs: RegularizerInput) -> np.ndarray:
    """Part of the masked half-map's power that is not noise, shell by shell: 0 to 1."""
    if inputs.noise_power is None:
        raise ValueError("the uniform filter needs the noise power")
    shells = len(inputs.noise_power)
    covered = float((inputs.support**2).mean(dtype=np.float64))
    power = shell_power(inputs.half_map * inputs.support, shells)
    noise = inputs.noise_power * covered
    return np.clip(1 - np.divide(noise, power, out=np.ones(shells), where=power > 0), 0, 1)
