"""Regularise two raw half-maps without RELION: read, filter, cut at the evidence, write."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft

from plugin_core import cost, noise
from plugin_core.backend import Array, Device, to_host
from plugin_core.fourier import apply_radial, irfftn, radii, rfftn, shell_to_angstrom
from plugin_core.fsc import (
    HALF_MAP_THRESHOLD,
    fourier_shell_correlation,
    joined_fsc,
    last_shell_above,
)
from plugin_core.masks import particle_sphere
from plugin_core.postprocessing.fsc_mask import fsc_mask
from plugin_core.postprocessing.half_map_checks import (
    NO_AGREEMENT,
    check_half_maps,
    disagreement_warning,
    low_resolution_agreement,
)
from plugin_core.regularizers import nonuniform, uniform
from plugin_core.regularizers.cutoffs import cutoff_percentiles, trail_regularized
from plugin_core.regularizers.interface import Regularized, RegularizerInput
from plugin_core.regularizers.nonuniform import NonuniformParameters
from plugin_core.spectral_trailing import trailing_shell
from plugin_core.symmetry import symmetrise
from relion_external.call_log import call_log
from relion_external.call_memory import Need, memory_explained
from relion_external.devices import open_device
from relion_external.errors import UserError
from relion_external.half_map_figures import HalfMapFigures, half_map_figures
from relion_external.half_map_pair import (
    DENOISED,
    REGULARISED,
    ExternalMap,
    find_partner,
    read_half_map,
    read_pair,
)
from relion_external.network_weights import require_torch
from relion_external.options import trailing_distance
from relion_external.panels import Picture
from relion_external.progress import progress_bar
from relion_external.report import ReportContent, write_report
from relion_external.standalone_outputs import (
    report_paths,
    write_chimerax,
    write_figures,
    write_maps,
)
from relion_external.threads import usable_threads
from relion_external.volumes import make_folder, read_map, read_mask

log = logging.getLogger(__name__)

DEFAULT_DIAMETER = 0.85
"""Particle diameter as a fraction of the box, where neither it nor a mask is given."""

LEAST_DIAMETER = 10
"""In voxels: in a smaller sphere no FSC and no noise can be measured."""


@dataclass(frozen=True)
class HalfMaps:
    """One or two half-maps, ready to be regularised.

    Attributes
    ----------
    files : list of ExternalMap
    volumes : list of (N, N, N) float32
        On the device, symmetry imposed.
    support : (N, N, N) float32
    voxel_size : float
        In Å.
    fsc : (N // 2 + 1,) float64 or None
        Of the two half-maps within the support; None for one alone.
    """

    files: list[ExternalMap]
    volumes: list[Array]
    support: Array
    voxel_size: float
    fsc: np.ndarray | None

    @property
    def box(self) -> int:
        """Voxels a side."""
        return int(self.volumes[0].shape[0])


@dataclass(frozen=True)
class Result:
    """What became of the half-maps.

    Attributes
    ----------
    regularized : list of Regularized
        One for each half-map, cut at `trailing_shell`.
    trailing_shell : int or None
    """

    regularized: list[Regularized]
    trailing_shell: int | None


def regularize_half_maps(options: argparse.Namespace) -> None:
    """Regularise the maps at `options.i` and `options.i2`, and write all outputs.

    Raises
    ------
    UserError, LoggedError
        If an input cannot be used, or an output cannot be written.
    """
    make_folder(options.o.parent)
    with call_log(options.o.with_name(f"{options.o.name}_regularize.log")):
        device = _device(options)
        with scipy.fft.set_workers(usable_threads(options.j)):
            maps = _prepare(options, device)
            result = _regularize(maps, options, device)
            _write(maps, result, options)


def _device(options: argparse.Namespace) -> Device:
    device = open_device(options, options.gpu.split(",")[0])
    log.info("device: %s", device.description)
    return device


def _prepare(options: argparse.Namespace, device: Device) -> HalfMaps:
    files = _read(options)
    box = files[0].volume.shape[0]
    voxel_size = options.angpix or files[0].voxel_size
    if not voxel_size:
        raise UserError(f"{files[0].path} does not tell its voxel size; give --angpix")
    try:
        volumes = [symmetrise(device.xp.asarray(file.volume), options.sym) for file in files]
    except ValueError as error:
        raise UserError(f"--sym {options.sym}: {error}") from error
    support = _support(options, device, box, voxel_size)
    fsc = None
    if len(volumes) == 2:
        fsc = fourier_shell_correlation(*(volume * support for volume in volumes))
        disagreement = disagreement_warning(fsc, box, voxel_size)
        if low_resolution_agreement(fsc, box, voxel_size) < NO_AGREEMENT:
            raise UserError(f"{files[0].path}, {files[1].path.name}: {disagreement}")
        for warning in check_half_maps(volumes[0], volumes[1], voxel_size):
            log.warning(warning)
    return HalfMaps(files, volumes, support, voxel_size, fsc)


def _read(options: argparse.Namespace) -> list[ExternalMap]:
    second = options.i2 or find_partner(options.i)
    if second is not None:
        log.info("half-maps: %s, %s", options.i, second)
        return list(read_pair(options.i, second))
    alone = read_half_map(options.i)
    if options.mask is None and options.particle_diameter is None:
        raise UserError(
            f"no second half-map found for {options.i}: give it as --i2 (or, to filter this map "
            "alone, --particle_diameter)"
        )
    log.warning(
        "no second half-map was given or found by its name: the noise is measured in the "
        "solvent, and without an FSC there is no spectral trailing"
    )
    return [alone]


def _support(options: argparse.Namespace, device: Device, box: int, voxel_size: float) -> Array:
    if options.mask is not None:
        return device.xp.asarray(read_mask(options.mask, box, voxel_size))
    diameter, extent = options.particle_diameter, box * voxel_size
    if diameter is None:
        diameter = DEFAULT_DIAMETER * extent
        log.info("particle diameter: taken as %g of the box, %.0f Å", DEFAULT_DIAMETER, diameter)
    elif not LEAST_DIAMETER * voxel_size <= diameter <= extent:
        raise UserError(
            f"--particle_diameter {diameter:g} Å is {diameter / voxel_size:.1f} voxels; expected "
            f"{LEAST_DIAMETER} ({LEAST_DIAMETER * voxel_size:.1f} Å) to the {box} of the box "
            f"({extent:.1f} Å)"
        )
    return particle_sphere(box, diameter, voxel_size, device.xp)


def _regularize(maps: HalfMaps, options: argparse.Namespace, device: Device) -> Result:
    shell = None
    if maps.fsc is not None and not options.skip_spectral_trailing:
        shell = trailing_shell(maps.fsc, trailing_distance(options))
    if options.skip_spectral_trailing:
        log.warning("spectral trailing is off: the maps may hold detail beyond what they agree on")
    if options.method == "denoiser":
        return Result(_denoise(maps, options, device, shell), shell)
    found = []
    with (
        memory_explained(maps.box, [_need(maps, options, device)]),
        progress_bar(options.levels * len(maps.volumes), "regularising", "level") as bar,
    ):

        def advance(done: int, total: int) -> None:
            bar.update(options.levels // total)

        for inputs in _inputs(maps):
            found.append(_regularize_one(inputs, options, advance))
            if shell is not None:
                found[-1] = trail_regularized(found[-1], shell, maps.voxel_size)
    return Result(found, shell)


def _need(maps: HalfMaps, options: argparse.Namespace, device: Device) -> Need:
    """Memory of the search for one half-map, on the device of the maps."""
    risk = options.risk if options.method == "nonuniform" else None
    predicted = cost.predict(maps.box, 1, levels=options.levels, risk=risk)
    free = device.free_bytes()
    needed = predicted.host_bytes if free is None else predicted.device_bytes
    return Need(device.name, needed, free)


def _denoise(
    maps: HalfMaps, options: argparse.Namespace, device: Device, shell: int | None
) -> list[Regularized]:
    """Denoise every half-map by itself; the maps end at `shell`."""
    require_torch()
    from relion_external.denoised_halves import denoise_halves

    cut = None
    if maps.fsc is not None and shell is not None:
        cut = (shell, max(last_shell_above(maps.fsc), 1))
    return denoise_halves(_inputs(maps), options, device, cut, maps.fsc)


def _regularize_one(
    inputs: RegularizerInput, options: argparse.Namespace, progress: Callable[[int, int], None]
) -> Regularized:
    if options.method == "uniform":
        return uniform.regularize(inputs, progress=progress)
    parameters = NonuniformParameters(options.risk, options.order, options.levels, options.awf)
    try:
        return nonuniform.regularize(inputs, parameters, progress)
    except ValueError as error:
        raise UserError(str(error)) from error


def _inputs(maps: HalfMaps) -> list[RegularizerInput]:
    partners = maps.volumes[::-1] if maps.fsc is not None else [None]
    return [
        RegularizerInput(
            half_map=volume,
            partner=partner,
            support=maps.support,
            noise_power=_noise_power(volume, maps),
            voxel_size=maps.voxel_size,
            max_shell=maps.box // 2,
        )
        for volume, partner in zip(maps.volumes, partners, strict=True)
    ]


def _noise_power(volume: Array, maps: HalfMaps) -> np.ndarray:
    if maps.fsc is not None:
        return noise.from_fsc(volume, maps.support, maps.fsc)
    try:
        return noise.from_solvent(volume, maps.support)
    except ValueError as error:
        raise UserError(
            f"{maps.files[0].path}: {error}; give a smaller --particle_diameter"
        ) from error


def _write(maps: HalfMaps, result: Result, options: argparse.Namespace) -> None:
    figures = None if maps.fsc is None else _figures(maps, options)
    cutoffs = [each.cutoff_angstrom for each in result.regularized]
    placement = maps.files[0].placement
    word = DENOISED if options.method == "denoiser" else REGULARISED
    volumes = [each.volume for each in result.regularized]
    paths = write_maps(options.o, volumes, cutoffs, maps.voxel_size, placement, word)
    cutoff = read_map(paths["cutoff"], maps.box) if "cutoff" in paths else None
    regularized = read_map(paths["regularized"], maps.box)
    level = 3 * float(np.std(regularized))
    write_chimerax(options.o, paths["regularized"], paths.get("cutoff"), level)
    if figures is not None:
        write_figures(options.o, figures, placement)
        content = _report_content(maps, result, figures, word, regularized, cutoff)
        write_report(content, *report_paths(options.o))
    print(_line(result, figures, cutoff, paths["regularized"]), flush=True)


def _figures(maps: HalfMaps, options: argparse.Namespace) -> HalfMapFigures:
    """Figures of the raw half-maps, in the user's mask or one that they show themselves."""
    half1, half2 = maps.volumes
    mask = maps.support
    if options.mask is None:
        assert maps.fsc is not None
        mask = fsc_mask(half1, half2, maps.support, maps.fsc, maps.voxel_size)
    figures = half_map_figures(half1, half2, mask, maps.voxel_size)
    if not np.isfinite(figures.fsc.resolution_angstrom()):
        raise UserError(
            f"{maps.files[0].path}, {maps.files[1].path.name}: their FSC in the mask is below "
            f"{HALF_MAP_THRESHOLD} from the first shell on; expected two halves of one data set"
        )
    return figures


def _report_content(
    maps: HalfMaps,
    result: Result,
    figures: HalfMapFigures,
    word: str,
    regularized: np.ndarray,
    cutoff: np.ndarray | None,
) -> ReportContent:
    average = sum(maps.volumes[1:], start=maps.volumes[0]) / len(maps.volumes)
    fsc = figures.fsc.spherical
    gain = np.interp(radii(maps.box), np.arange(len(fsc)), joined_fsc(fsc))
    uniform = irfftn(apply_radial(rfftn(average), gain), maps.box)
    trailing = None
    if result.trailing_shell is not None:
        trailing = shell_to_angstrom(result.trailing_shell, maps.box, maps.voxel_size)
    return ReportContent(
        title=f"{maps.files[0].path.name} and {maps.files[1].path.name}",
        pictures=[
            Picture("raw average", to_host(average)),
            Picture("uniform (FSC) filter", to_host(uniform)),
            Picture(word.lower(), regularized),
        ],
        cutoff_angstrom=cutoff,
        figures=figures,
        trailing_angstrom=trailing,
        voxel_size=maps.voxel_size,
    )


def _line(
    result: Result, figures: HalfMapFigures | None, cutoff: np.ndarray | None, path: Path
) -> str:
    """One sentence on the outcome."""
    summary = result.regularized[0].summary
    if cutoff is not None:
        found = cutoff_percentiles(cutoff)
        what = (
            f"local cutoff median {found['cutoff_median_angstrom']:.1f} Å (5th to 95th "
            f"percentile {found['cutoff_5th_percentile_angstrom']:.1f} to "
            f"{found['cutoff_95th_percentile_angstrom']:.1f} Å)"
        )
    elif "half_noise_angstrom" in summary:
        what = f"one Wiener filter, half noise at {summary['half_noise_angstrom']:.1f} Å"
    else:
        what = f"denoised in {summary['blocks']} blocks by {summary['weights']}"
    parts = [f"{path}: {what}"]
    if figures is not None:
        parts.append(f"FSC of the raw half-maps: {figures.headline}")
    return ", ".join(parts)
