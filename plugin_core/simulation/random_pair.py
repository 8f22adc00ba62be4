"""Draws everything about one simulated pair of half-maps, within stated ranges."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from plugin_core.simulation.belt import BeltMaker, BeltShape, Slab
from plugin_core.simulation.disorder import (
    BlurField,
    blurred,
    floppy,
    sphere_domain,
    with_occupancy,
)
from plugin_core.simulation.half_maps import (
    BeltDisorder,
    Measurement,
    SimulatedPair,
    simulate_pair,
)
from plugin_core.simulation.map_noise import NoiseSpectrum, Views
from plugin_core.simulation.molecule import Molecule
from plugin_core.simulation.projection import Atoms

Range = tuple[float, float]

_SMALLEST_MARGIN = 1.12
_NYQUIST_MARGIN = 1.1  # the resolution stays coarser than Nyquist by this factor
_BOX_MULTIPLE = 8
_COPIES = 8  # of a floppy domain


@dataclass(frozen=True)
class PairRanges:
    """Ranges drawn from, evenly where nothing else is said; Å, Å² and degrees.

    Attributes
    ----------
    resolution : pair of float
        Of the half-maps, evenly in its logarithm.
    voxel_size : pair of float
        Of the maps.
    pixel_size : pair of float
        Of the images; where it is coarser than the voxels, the half-maps end at its Nyquist.
    min_box, max_box : int
        Voxels a side; the least is the block that the denoiser works on.
    margin : pair of float
        Box over the diameter of molecule and belt.
    off_centre : float
        Largest shift along each axis.
    pose_b_factor : pair of float
        B factor of the whole over the squared resolution: worse poses at lower resolution.
    sharp_b_factor : pair of float
        The same for a fraction `sharp` of the pairs: well-aligned particles, but few.
    smallest_b_factor, largest_b_factor : float
        Limits of both.
    own_b_factor : pair of float
        Factor of the atoms' own B factors in their file, less their 5th percentile, at most 80.
    far_b_factor : pair of float
        Of the residue farthest from the rigid core, evenly in its logarithm.
    spots : int
        Most floppy spots.
    partial, floppy, even_views, up_to_nyquist : float
        Probabilities of a partly occupied domain, a floppy domain, an even distribution of views,
        and half-maps that go on to Nyquist.
    nanodisc : float
        Probability of a nanodisc rather than a detergent belt about a membrane protein.
    """

    resolution: Range = (3.2, 15.0)
    voxel_size: Range = (0.8, 3.0)
    pixel_size: Range = (0.8, 3.0)
    min_box: int = 64
    max_box: int = 160
    margin: Range = (1.3, 1.5)
    off_centre: float = 4.0
    pose_b_factor: Range = (4.0, 14.0)
    sharp_b_factor: Range = (1.0, 4.0)
    sharp: float = 0.3
    smallest_b_factor: float = 20.0
    largest_b_factor: float = 1500.0
    own_b_factor: Range = (0.0, 1.0)
    far_b_factor: Range = (20.0, 400.0)
    spots: int = 3
    partial: float = 0.4
    floppy: float = 0.35
    even_views: float = 0.4
    up_to_nyquist: float = 0.25
    nanodisc: float = 0.4


def random_pair(
    molecule: Molecule, slab: Slab | None, ranges: PairRanges, rng: np.random.Generator
) -> tuple[SimulatedPair, float, dict[str, Any]]:
    """Draw one pair.

    Parameters
    ----------
    molecule : Molecule
        About its centre, as its file has it.
    slab : Slab or None
        The membrane, for a belt.
    ranges : PairRanges
    rng : numpy.random.Generator

    Returns
    -------
    SimulatedPair
    float
        Voxel size in Å.
    dict
        Everything drawn, of plain types.

    Raises
    ------
    ValueError
        If the molecule does not fit into the largest box.
    """
    voxel_size = rng.uniform(*ranges.voxel_size)
    rotation, shift = _pose(ranges, rng)
    molecule = molecule.moved(rotation, shift)
    record: dict[str, Any] = {"voxel_size": voxel_size, "off_centre": shift.tolist()}
    belt, radius = None, molecule.radius
    if slab is not None:
        moved = replace(
            slab,
            axis=(rotation @ slab.axis).astype(np.float32),
            centre=(rotation @ slab.centre + shift).astype(np.float32),
        )
        belt, record["belt"] = _draw_belt(molecule, moved, ranges, rng)
        radius = max(radius, belt.belts.reach_from_origin)
    record["box"] = box = _choose_box(radius, voxel_size, ranges, rng)
    molecule, record["disorder"] = _draw_disorder(molecule, ranges, rng)
    measurement = _draw_measurement(voxel_size, ranges, rng)
    record["measurement"] = asdict(measurement)
    return simulate_pair(molecule, belt, measurement, box, voxel_size, rng), voxel_size, record


def _pose(
    ranges: PairRanges, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rotation = Rotation.random(None, rng).as_matrix()
    return rotation, rng.uniform(-ranges.off_centre, ranges.off_centre, 3)


def _choose_box(
    radius: float, voxel_size: float, ranges: PairRanges, rng: np.random.Generator
) -> int:
    """Even box with the drawn margin about a particle of `radius`, or the largest with less."""
    diameter = 2 * radius / voxel_size
    wanted = _BOX_MULTIPLE * int(np.ceil(diameter * rng.uniform(*ranges.margin) / _BOX_MULTIPLE))
    box = min(max(wanted, ranges.min_box), ranges.max_box // _BOX_MULTIPLE * _BOX_MULTIPLE)
    if box < diameter * _SMALLEST_MARGIN:
        raise ValueError(
            f"a particle of {2 * radius:.0f} Å needs a box of "
            f"{int(np.ceil(diameter * _SMALLEST_MARGIN))} voxels of {voxel_size:g} Å, "
            f"more than the largest allowed, {ranges.max_box}"
        )
    return box


def _draw_belt(
    molecule: Molecule, slab: Slab, ranges: PairRanges, rng: np.random.Generator
) -> tuple[BeltDisorder, dict[str, Any]]:
    nanodisc = bool(rng.random() < ranges.nanodisc)
    shape = BeltShape(
        width=rng.uniform(22, 32) if nanodisc else rng.uniform(12, 20),
        width_sd=rng.uniform(2, 5),
        half_thickness=rng.uniform(19, 23) if nanodisc else rng.uniform(15, 20),
        half_thickness_sd=rng.uniform(1, 3),
        ellipticity_sd=rng.uniform(0.05, 0.15),
        offset_sd=rng.uniform(1, 5),
        rim_contrast=rng.uniform(0.4, 0.9),
        core_contrast=rng.uniform(0.1, 0.35),
    )
    atoms = Atoms(
        molecule.coordinates.astype(np.float32),
        molecule.atomic_numbers.astype(np.float32),
        molecule.b_factors.astype(np.float32),
    )
    counts = np.exp(rng.uniform(np.log(8), np.log(80), 2)).round().astype(int).tolist()
    record = {"kind": "nanodisc" if nanodisc else "detergent", "counts": counts, **asdict(shape)}
    return BeltDisorder(BeltMaker(atoms, slab, shape), tuple(counts)), record


def _draw_disorder(
    molecule: Molecule, ranges: PairRanges, rng: np.random.Generator
) -> tuple[Molecule, dict[str, Any]]:
    own = rng.uniform(*ranges.own_b_factor)
    excess = molecule.b_factors - np.percentile(molecule.b_factors, 5)
    molecule = replace(molecule, b_factors=own * np.clip(excess, 0, 80))
    field = _draw_blur(molecule, ranges, rng)
    record: dict[str, Any] = {"own_b_factor": own, "blur": asdict(field)}
    molecule = blurred(molecule, field)
    if rng.random() < ranges.partial:
        domain, what = _draw_domain(molecule, rng)
        occupancy = rng.uniform(0.25, 0.8)
        molecule = with_occupancy(molecule, domain, occupancy)
        record["partial"] = {"domain": what, "occupancy": occupancy}
    if rng.random() < ranges.floppy:
        domain, what = _draw_domain(molecule, rng)
        angle_sd, shift_sd = rng.uniform(2, 10), rng.uniform(0.5, 3)
        molecule = floppy(molecule, domain, angle_sd, shift_sd, _COPIES, rng)
        record["floppy"] = {
            "domain": what, "angle_sd": angle_sd, "shift_sd": shift_sd, "copies": _COPIES,
        }  # fmt: skip
    return molecule, record


def _draw_blur(molecule: Molecule, ranges: PairRanges, rng: np.random.Generator) -> BlurField:
    centres = molecule.residue_centres()
    distance = np.linalg.norm(centres - centres.mean(axis=0), axis=1)
    inner = np.flatnonzero(distance <= np.quantile(distance, 0.5))
    outer = np.flatnonzero(distance >= np.quantile(distance, 0.5))
    spots = rng.choice(outer, rng.integers(ranges.spots + 1))
    return BlurField(
        core=_xyz(centres[rng.choice(inner)]),
        far_b_factor=float(np.exp(rng.uniform(*np.log(ranges.far_b_factor)))),
        exponent=rng.uniform(1, 3),
        spots=tuple(_xyz(centres[spot]) for spot in spots),
        spot_b_factors=tuple(rng.uniform(50, 300, len(spots)).tolist()),
        spot_radius=rng.uniform(8, 16),
    )


def _draw_domain(molecule: Molecule, rng: np.random.Generator) -> tuple[NDArray[np.bool_], str]:
    """A chain of less than half of the atoms, or a sphere of residues about an outer one."""
    small = np.flatnonzero(
        (np.bincount(molecule.chains) > 0) & (2 * np.bincount(molecule.chains) < len(molecule))
    )
    if len(small) and rng.random() < 0.5:
        chain = int(rng.choice(small))
        return molecule.chains == chain, f"chain {chain}"
    centres = molecule.residue_centres()
    distance = np.linalg.norm(centres - centres.mean(axis=0), axis=1)
    centre = centres[rng.choice(np.flatnonzero(distance >= np.quantile(distance, 0.7)))]
    fraction = rng.uniform(0.08, 0.3)
    about = ", ".join(f"{value:.1f}" for value in centre)
    return (
        sphere_domain(molecule, centre, fraction),
        f"the {100 * fraction:.0f} % of the residues nearest to ({about})",
    )


def _draw_measurement(
    voxel_size: float, ranges: PairRanges, rng: np.random.Generator
) -> Measurement:
    finest = max(ranges.resolution[0], 2 * _NYQUIST_MARGIN * voxel_size)
    coarsest = max(ranges.resolution[1], finest)
    resolution = float(np.exp(rng.uniform(np.log(finest), np.log(coarsest))))
    largest_pixel = min(ranges.pixel_size[1], resolution / (2 * _NYQUIST_MARGIN))
    pixel_size = rng.uniform(min(ranges.pixel_size[0], largest_pixel), largest_pixel)
    sharp = rng.random() < ranges.sharp
    ratio = rng.uniform(*(ranges.sharp_b_factor if sharp else ranges.pose_b_factor))
    onwards = bool(rng.random() < ranges.up_to_nyquist)
    beyond = int(rng.integers(5, 21))
    start = rng.uniform(5000, 12000)
    return Measurement(
        b_factor=float(
            np.clip(ratio * resolution**2, ranges.smallest_b_factor, ranges.largest_b_factor)
        ),
        solvent_contrast=rng.uniform(0.3, 0.65),
        resolution_angstrom=resolution,
        shells_beyond=None if onwards else beyond,
        finest_angstrom=2 * max(pixel_size, voxel_size),
        mask_margin=rng.uniform(2, 6),
        spectrum=NoiseSpectrum(
            excess=rng.uniform(2, 8),
            excess_width=rng.uniform(0.035, 0.06),
            rise=rng.uniform(1, 4),
            defocus_range=(start, start + rng.uniform(5000, 15000)),
        ),
        views=_draw_views(ranges, rng),
    )


def _draw_views(ranges: PairRanges, rng: np.random.Generator) -> Views:
    if rng.random() < ranges.even_views:
        return Views()
    axis = rng.normal(size=3)
    return Views(
        axis=_xyz(axis / np.linalg.norm(axis)),
        kappa=rng.uniform(1, 8) * (1 if rng.random() < 0.6 else -1),
        preferred=rng.uniform(0.4, 0.95),
    )


def _xyz(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
