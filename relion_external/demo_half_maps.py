"""The demonstration where RELION is not installed: the hook on simulated half-maps.

Two half-sets' data and weight arrays are made from the simulated protein, the average of many
belts, and noise, written as RELION would write them, and handed to the hook: the regularisation of
one iteration, without the refinement around it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugin_core.fourier import shell_power
from plugin_core.fsc import fourier_shell_correlation
from plugin_core.masks import particle_sphere
from plugin_core.padded_grid import PaddedGrid
from plugin_core.reconstruction import Accumulators, reconstruct
from plugin_core.simulation.accumulators import accumulate
from plugin_core.simulation.belt import BeltMaker, BeltShape
from plugin_core.simulation.projection import Atoms, map_transform, to_real_space
from plugin_core.weights import radial_weights
from relion_external import demo_figure, system
from relion_external.demo_figure import Method
from relion_external.demo_options import PARTICLE_DIAMETER, DemoOptions, agreement_with_truth
from relion_external.errors import UserError
from relion_external.panels import Picture
from relion_external.progress import progress_bar
from relion_external.simulated_call import write_call
from relion_external.simulated_set import load_demo_protein
from relion_external.volumes import read_map

Volume = NDArray[np.float32]

BELTS = 40  # averaged into the true map
BLUR = 150.0  # B factor in Å² for what inexact poses blur
NOISE_MEETS_SIGNAL_AT = 10.0  # Å
CALL = "run_it001_half1_class001"
METHODS = {"uniform": "uniform (RELION's Wiener filter)", "nonuniform": "local (relion-external)"}


def demonstrate_half_maps(options: DemoOptions) -> Path:
    """Regularise a simulated half-map in two ways, print a table; return the picture's path."""
    truth = _true_map(options)
    grid = PaddedGrid(options.box, 1.0, options.box // 2)
    weight = _weight(truth, grid, options.voxel_size)
    rng = np.random.default_rng(options.seed)
    halves = [accumulate(truth, grid, weight, rng) for _ in range(2)]
    raw = [_raw_map(half, grid) for half in halves]
    fsc = fourier_shell_correlation(*raw)
    regularised = {}
    for method in METHODS:
        call = _write_call(options, method, halves[0], grid, weight, fsc)
        regularised[method] = _answer(call, method, options)
    print(f"\n{table(truth, raw[0], regularised, options)}\n")
    picture = options.folder / "demo.png"
    cutoff = options.folder / "nonuniform" / f"{CALL}_external_reconstruct_cutoff.mrc"
    demo_figure.draw(
        picture,
        "Simulated half-map of a membrane protein in a detergent belt, one regularisation",
        [
            Picture("truth (protein and average belt)", truth),
            Picture("raw half-map", raw[0]),
            *(Picture(METHODS[method], volume) for method, volume in regularised.items()),
        ],
        read_map(cutoff, options.box),
        [
            Method(METHODS[method], agreement_with_truth(volume, truth, options.voxel_size))
            for method, volume in regularised.items()
        ],
        options.voxel_size,
        "FSC of the regularised half-map to the truth",
    )
    return picture


def table(
    truth: Volume, raw: Volume, regularised: Mapping[str, Volume], options: DemoOptions
) -> str:
    """Table of squared errors to the truth, inside the particle's sphere."""
    sphere = particle_sphere(options.box, PARTICLE_DIAMETER, options.voxel_size)
    rows = {"raw half-map": raw} | {METHODS[m]: volume for m, volume in regularised.items()}
    lines = [f"{'':34}{'squared error to the truth, relative':>38}"]
    for name, volume in rows.items():
        error = np.sum((sphere * (volume - truth)) ** 2) / np.sum((sphere * truth) ** 2)
        lines.append(f"{name:34}{error:38.4f}")
    return "\n".join(lines)


def _true_map(options: DemoOptions) -> Volume:
    """Protein and the average of many belts, blurred."""
    protein, slab = load_demo_protein()
    belts, rng = BeltMaker(protein, slab, BeltShape()), np.random.default_rng(options.seed)
    transform = _blurred_transform(protein, options)
    with progress_bar(BELTS, "averaging belts", "belt") as bar:
        for _ in range(BELTS):
            transform += _blurred_transform(belts.draw(rng), options) / np.float32(BELTS)
            bar.update()
    return to_real_space(transform)


def _blurred_transform(atoms: Atoms, options: DemoOptions) -> NDArray[np.complex64]:
    blurred = Atoms(atoms.coordinates, atoms.weights, atoms.b_factors + np.float32(BLUR))
    return map_transform(blurred, options.box, options.voxel_size)


def _weight(truth: Volume, grid: PaddedGrid, voxel_size: float) -> NDArray[np.float64]:
    """Weight of each shell that makes white noise meet the signal at the set resolution.

    The noise power of a transform's voxel is 2 N^4 / (p^3 weight).
    """
    power = shell_power(truth, grid.max_shell + 1)
    shell = round(grid.box * voxel_size / NOISE_MEETS_SIGNAL_AT)
    weight = 2.0 * float(grid.box) ** 4 / (grid.padding**3 * power[shell])
    return np.full(grid.max_shell + 1, weight)


def _raw_map(arrays: Accumulators, grid: PaddedGrid) -> Volume:
    return reconstruct(arrays, radial_weights(arrays.weight, grid), prior=None)


def _write_call(
    options: DemoOptions,
    method: str,
    arrays: Accumulators,
    grid: PaddedGrid,
    weight: NDArray[np.float64],
    fsc: NDArray[np.float64],
) -> Path:
    """Write a call for half-map 1 as RELION would, with its own estimate of the prior."""
    folder = options.folder / method
    folder.mkdir(parents=True, exist_ok=True)
    trusted = np.clip(fsc, 0.001, 0.999)
    tau2 = trusted / (1.0 - trusted) / (grid.padding**3 * weight)
    return write_call(
        folder,
        CALL,
        arrays,
        grid,
        tau2=tau2,
        fsc=fsc,
        voxel_size=options.voxel_size,
        particle_diameter=PARTICLE_DIAMETER,
    )


def _answer(call: Path, method: str, options: DemoOptions) -> Volume:
    """The hook's answer to one call."""
    words = ["reconstruct", "--method", method, "--gpu", options.gpu, str(call)]
    answer = system.ask([sys.executable, "-m", "relion_external", *words], limit_s=600)
    if answer.status != 0:
        raise UserError(f"the hook failed on {call}: {answer.stderr.strip() or 'no answer'}")
    return read_map(call.with_suffix(".mrc"), options.box)
