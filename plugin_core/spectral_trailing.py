"""Spectral trailing: the reference must not run ahead of the evidence of the raw half-maps.

The regularised map is low-passed where the FSC of the raw half-maps falls below 0.143, or some
shells before, so that nothing beyond enters the next alignment (Kimanius et al., Nat. Methods
2024).
"""

from __future__ import annotations

import numpy as np

from plugin_core.backend import Array
from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.fsc import last_shell_above

EDGE_WIDTH = 3.0
"""Shells over which the low-pass falls from 1 to 0."""


def trailing_shell(fsc: np.ndarray, distance: int) -> int:
    """Shell at which to cut: `distance` shells before the last with FSC of at least 0.143.

    Never below shell 1, so that a half-map without any correlation still gives a map.
    """
    return max(last_shell_above(fsc) - distance, 1)


def trail(volume: Array, shell: int) -> Array:
    """Low-pass `volume`, (N, N, N) float32, at `shell`, with a soft edge of 3 shells."""
    box = volume.shape[0]
    gain = raised_cosine_low_pass(radii(box), shell, EDGE_WIDTH)
    return irfftn(apply_radial(rfftn(volume), gain), box)
