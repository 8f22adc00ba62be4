"""A pair of raw half-maps of a molecule, the map that both measure, and its mask.

The truth is what infinitely many particles would give: the molecule's density less that of the
solvent it displaces, its parts blurred, half occupied or floppy, in the average of its detergent
belts, the whole blurred by the B factor of pose errors and microscope. A half-map is the truth,
plus what its own belts differ from their average, plus noise of its own, up to the last shell that
the refinement reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugin_core.fourier import (
    irfftn,
    rfftn,
    shell_power,
    shell_to_angstrom,
    squared_radius,
)
from plugin_core.fsc import HALF_MAP_THRESHOLD, fourier_shell_correlation, last_shell_above
from plugin_core.postprocessing.dynamic_mask import Margins, dynamic_mask
from plugin_core.simulation.belt import BeltMaker
from plugin_core.simulation.belt_map import average_belt, low_passed
from plugin_core.simulation.map_noise import (
    NoiseSpectrum,
    Views,
    directional_power,
    draw_map_noise,
)
from plugin_core.simulation.molecule import Molecule, b_factor_gain, scattering_density

_SOLVENT_DETAIL = 6.0  # Å: finer than this, a molecule's shape displaces no solvent
_BELT_DETAIL = 8.0  # Å: disordered lipid and detergent have no finer structure in common
_AVERAGE_BELTS = 80
_MASK_DETAIL = 15.0  # Å
_FIRST_JUDGED_SHELL = 3  # the lowest shells hold whole images' worth of signal


@dataclass(frozen=True)
class BeltDisorder:
    """The detergent belts of one particle set.

    Attributes
    ----------
    belts : BeltMaker
    counts : pair of int
        Belts that each half-map averages: few leave more of their differences.
    """

    belts: BeltMaker
    counts: tuple[int, int]


@dataclass(frozen=True)
class Measurement:
    """How the molecule was seen; B factor in Å².

    Attributes
    ----------
    b_factor : float
        Of pose errors, microscope and detector, on top of the atoms' own.
    solvent_contrast : float
        Potential of the solvent as a fraction of that inside the molecule.
    resolution_angstrom : float
        Where the FSC of the half-maps, masked, is to fall below 0.143.
    shells_beyond : int or None
        How many shells beyond that the half-maps hold data; None for all up to Nyquist.
    finest_angstrom : float
        Nothing finer is ever held: twice the pixel size of the images, where that is coarser than
        the map's.
    mask_margin : float
        In Å, from the density to the mask's soft edge, which is 8 Å wide.
    """

    b_factor: float
    solvent_contrast: float
    resolution_angstrom: float
    shells_beyond: int | None
    finest_angstrom: float
    mask_margin: float
    spectrum: NoiseSpectrum
    views: Views


@dataclass(frozen=True)
class SimulatedPair:
    """Maps (box, box, box) float32 on one scale, and what they came out as.

    Attributes
    ----------
    half_maps : pair of arrays
    truth, mask : array
    max_shell : int
        Last shell in which the half-maps hold data.
    fsc : (max_shell + 1,) float64
        Of the half-maps inside the mask.
    resolution_angstrom : float
        Where that first falls below 0.143.
    """

    half_maps: tuple[NDArray[np.float32], NDArray[np.float32]]
    truth: NDArray[np.float32]
    mask: NDArray[np.float32]
    max_shell: int
    fsc: NDArray[np.float64]
    resolution_angstrom: float


def simulate_pair(
    molecule: Molecule,
    belt: BeltDisorder | None,
    measurement: Measurement,
    box: int,
    voxel_size: float,
    rng: np.random.Generator,
) -> SimulatedPair:
    """Simulate one pair of half-maps.

    Parameters
    ----------
    molecule : Molecule
        With its disorder, see :mod:`plugin_core.simulation.disorder`.
    belt : BeltDisorder or None
    measurement : Measurement
    box : int
        Voxels a side, divisible by 4.
    voxel_size : float
        In Å.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If the box is not divisible by 4, or the resolution is beyond what the grid holds.
    """
    last_signal = round(box * voxel_size / measurement.resolution_angstrom)
    finest = min(box // 2 - 1, int(box * voxel_size / measurement.finest_angstrom))
    if not _FIRST_JUDGED_SHELL <= last_signal <= finest:
        raise ValueError(
            f"a resolution of {measurement.resolution_angstrom:g} Å is shell {last_signal} of the "
            f"box, which must be from {_FIRST_JUDGED_SHELL} to {finest}"
        )
    truth, differences = _noise_free(molecule, belt, measurement, box, voxel_size, rng)
    mask = molecule_mask(truth, voxel_size, measurement.mask_margin)
    scale = 1 / np.sqrt((truth[mask > 0.5] ** 2).mean(dtype=np.float64)).astype(np.float32)
    truth *= scale

    power = directional_power(
        box, measurement.spectrum.map_power(box, voxel_size), measurement.views
    )
    noise = [draw_map_noise(power, rng) for _ in range(2)]
    differences = [scale * difference for difference in differences]
    level = noise_level(truth, differences, noise, mask, last_signal)

    beyond = measurement.shells_beyond
    max_shell = finest if beyond is None else min(finest, last_signal + beyond)
    half1, half2 = (
        up_to_shell(truth + difference + level * field, max_shell)
        for difference, field in zip(differences, noise, strict=True)
    )
    fsc = fourier_shell_correlation(half1 * mask, half2 * mask)[: max_shell + 1]
    resolution = shell_to_angstrom(last_shell_above(fsc), box, voxel_size)
    return SimulatedPair((half1, half2), truth, mask, max_shell, fsc, resolution)


def solvent_subtracted(
    density: NDArray[np.float32], voxel_size: float, contrast: float
) -> tuple[NDArray[np.float32], float]:
    """Take off the potential of the solvent that a molecule displaces.

    The solvent is missing where the density, seen at 6 Å, is that of the molecule's inside, and
    partly where it is less: at the surface, and where a part is blurred or seldom there.

    Returns
    -------
    (box, box, box) float32
    float
        Density inside the molecule, solvent taken off.
    """
    smooth = low_passed(density, voxel_size, _SOLVENT_DETAIL)
    inside = float(np.quantile(smooth[smooth > 0.3 * smooth.max()], 0.7))
    displaced = np.clip(smooth, 0, inside)
    return density - np.float32(contrast) * displaced, (1 - contrast) * inside


def molecule_mask(
    truth: NDArray[np.float32], voxel_size: float, margin: float
) -> NDArray[np.float32]:
    """Soft mask about the noise-free map: its density at 15 Å, `margin` Å, an edge of 8 Å."""
    smooth = low_passed(truth, voxel_size, _MASK_DETAIL)
    # The threshold is a fraction of the maximum: keep one bright spot from setting it.
    smooth = np.minimum(smooth, np.quantile(smooth[smooth > 0.3 * smooth.max()], 0.7))
    return dynamic_mask(smooth, voxel_size, threshold=0.15, margins=Margins(margin, margin + 8))


def noise_level(
    truth: NDArray[np.float32],
    differences: list[NDArray[np.float32]],
    noise: list[NDArray[np.float32]],
    mask: NDArray[np.float32],
    last_signal: int,
) -> np.float32:
    """Factor of the noise with which the masked FSC first falls below 0.143 after `last_signal`.

    In each shell the FSC is signal / (signal + noise), with the powers of the masked maps, means
    of three shells. All shells up to the last decide, so a dip of the signal does not end the
    curve early.
    """
    shells = len(truth) // 2 + 1
    odds = HALF_MAP_THRESHOLD / (1 - HALF_MAP_THRESHOLD)  # signal over noise at the threshold

    def power(volumes: list[NDArray[np.float32]]) -> NDArray[np.float64]:
        mean = np.mean([shell_power(volume * mask, shells) for volume in volumes], axis=0)
        return np.convolve(np.pad(mean, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")

    room = power([truth]) / odds - power(differences)
    judged = slice(_FIRST_JUDGED_SHELL, last_signal + 1)
    allowed = room[judged] / power(noise)[judged]
    if not allowed.min() > 0:
        raise ValueError("the belts' differences alone keep the half-maps from agreeing so far")
    return np.float32(np.sqrt(allowed.min()))


def up_to_shell(volume: NDArray[np.float32], max_shell: int) -> NDArray[np.float32]:
    """Cut everything beyond a shell."""
    box = volume.shape[0]
    transform = rfftn(volume)
    transform[squared_radius(box) > max_shell**2] = 0
    return irfftn(transform, box)


def _noise_free(
    molecule: Molecule,
    belt: BeltDisorder | None,
    measurement: Measurement,
    box: int,
    voxel_size: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The truth, and what the belts of each half add to it."""
    density = scattering_density(molecule, box, voxel_size)
    truth, inside = solvent_subtracted(density, voxel_size, measurement.solvent_contrast)
    blur = _blur(box, voxel_size, measurement.b_factor)
    if belt is None:
        none = np.zeros_like(truth)
        return blur(truth), [none, none]

    def belts(count: int) -> NDArray[np.float32]:
        average = average_belt(belt.belts, count, box, voxel_size, rng)
        return low_passed(np.float32(inside) * average, voxel_size, _BELT_DETAIL)

    average = belts(_AVERAGE_BELTS)
    return blur(truth + average), [blur(belts(count) - average) for count in belt.counts]


def _blur(
    box: int, voxel_size: float, b_factor: float
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    gain = b_factor_gain(box, voxel_size, b_factor)
    return lambda volume: irfftn(rfftn(volume) * gain, box)
