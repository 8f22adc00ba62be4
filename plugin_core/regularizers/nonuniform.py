"""Non-uniform regularisation: a Butterworth low-pass whose cutoff varies in space.

The cutoff at each voxel is the one that cross-validation finds best (Punjani, Zhang & Fleet, Nat.
Methods 2020, Eqns 4 to 8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plugin_core.backend import array_module
from plugin_core.nonuniform.levels import cutoff_levels
from plugin_core.nonuniform.risks import CrossHalfRisk, QuarterRisk, Risk, SplitNoiseRisk
from plugin_core.nonuniform.search import search
from plugin_core.regularizers.cutoffs import cutoff_percentiles
from plugin_core.regularizers.interface import Regularized, RegularizerInput

RISKS = ("split-noise", "cross-half", "quarter")

DEFAULT_TRAILING_DISTANCE = 0
"""Shells before FSC 0.143 at which the reference is cut: the filter is linear in the data and
invents nothing, so it is cut where the half-maps cease to agree and no earlier."""


@dataclass(frozen=True)
class NonuniformParameters:
    """Options of the search.

    Attributes
    ----------
    risk : str
        ``"split-noise"`` (this half-map alone), ``"cross-half"`` (both half-maps) or ``"quarter"``
        (two quarter-maps of this half-set).
    order : int
        Butterworth order.
    levels : int
        Number of cutoffs.
    awf : float
        Adaptive window factor: extent of the comparison window in wavelengths of the cutoff.
    """

    risk: str = "split-noise"
    order: int = 8
    levels: int = 50
    awf: float = 3.0


def regularize(
    inputs: RegularizerInput,
    parameters: NonuniformParameters,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Regularized:
    """Filter the half-map with the cutoff of least risk at every voxel.

    Raises
    ------
    ValueError
        If the risk is unknown, or needs maps that were not given.
    """
    box = inputs.half_map.shape[0]
    cutoffs = cutoff_levels(box, inputs.voxel_size, inputs.max_shell, parameters.levels)
    risk = _make_risk(inputs, cutoffs, parameters)
    found = search(risk, cutoffs, order=parameters.order, awf=parameters.awf, progress=progress)
    xp = array_module(inputs.half_map)
    angstrom = xp.asarray(box * inputs.voxel_size / cutoffs, dtype=np.float32)
    cutoff_angstrom = xp.where(inputs.support > 0, angstrom[found.level], np.float32(0))
    summary = {"risk": parameters.risk, "levels": len(cutoffs)}
    return Regularized(found.value, cutoff_angstrom, summary | cutoff_percentiles(cutoff_angstrom))


def _make_risk(
    inputs: RegularizerInput, cutoffs: np.ndarray, parameters: NonuniformParameters
) -> Risk:
    masked = inputs.half_map * inputs.support
    if parameters.risk == "split-noise":
        if inputs.noise_power is None:
            raise ValueError("the split-noise risk needs the noise power")
        return SplitNoiseRisk(masked, inputs.support, inputs.noise_power, cutoffs, parameters.order)
    if parameters.risk == "cross-half":
        if inputs.partner is None:
            raise ValueError("the cross-half risk needs the other half-map")
        return CrossHalfRisk(masked, inputs.partner * inputs.support)
    if parameters.risk == "quarter":
        if inputs.quarters is None:
            raise ValueError("the quarter risk needs two quarter-maps")
        return QuarterRisk(masked, *(quarter * inputs.support for quarter in inputs.quarters))
    raise ValueError(f"the risk must be one of {', '.join(RISKS)}, not {parameters.risk!r}")
