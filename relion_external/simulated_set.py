"""Write a simulated particle set with known truth, ready for `relion_refine`.

The particles show a specimen under a CTF and noise: unless another is given, one rigid membrane
protein, each in its own detergent belt. The true map is the molecule alone: the belt, redrawn for
each particle, has no structure that a reconstruction could agree with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import starfile
from numpy.typing import NDArray

from plugin_core.fourier import apply_radial, radii, raised_cosine_low_pass
from plugin_core.simulation.belt import BeltMaker, BeltShape, Slab
from plugin_core.simulation.ctf import Optics, contrast_transfer
from plugin_core.simulation.noise import draw_noise, randomise_phases, signal_scale
from plugin_core.simulation.poses import euler_to_matrix, perturb_orientations, random_orientations
from plugin_core.simulation.projection import (
    Atoms,
    Projector,
    map_transform,
    shift_phases,
    to_real_space,
)
from plugin_core.simulation.specimen import Specimen
from relion_external.volumes import write_map

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
DEFOCUS = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SimulationOptions:
    """What to simulate; lengths in Å, angles in degrees.

    `signal_to_noise` is the ratio of variances over a whole image, after the CTF. Start poses are
    the true ones turned by exactly `pose_error` about random axes, start origins the true ones
    moved by normal deviates of `origin_error`. Noise is white, unless `noise_amplitude` shapes it
    (see :func:`plugin_core.simulation.noise.draw_noise`). With `empty`, the images are noise alone,
    while the maps are those of particles that would have been there. With `random_phases_beyond`
    (Å), the images hold nothing but noise beyond that resolution.
    """

    particles: int = 3000
    box: int = 96
    voxel_size: float = 2.0
    seed: int = 1
    signal_to_noise: float = 0.02
    pose_error: float = 6.0
    origin_error: float = 2.0
    origin_sd: float = 3.0
    defocus_range: tuple[float, float] = (10000.0, 25000.0)
    astigmatism_sd: float = 200.0
    optics: Optics = Optics()
    noise_amplitude: tuple[float, ...] | None = None
    empty: bool = False
    random_phases_beyond: float | None = None
    reference_resolution: float = 30.0


@dataclass(frozen=True)
class SimulatedSet:
    """The files of one set; image names are relative to `folder`, so run RELION there.

    With a `count`, `particles` holds that many of them, from the first on.
    """

    folder: Path
    count: int | None = None

    @property
    def images(self) -> Path:
        """The image stack."""
        return self.folder / "particles.mrcs"

    @property
    def particles(self) -> Path:
        """STAR file with the poses to start from."""
        name = "particles.star" if self.count is None else f"particles_{self.count}.star"
        return self.folder / name

    @property
    def true_particles(self) -> Path:
        """STAR file with the true poses, rows as in `particles`."""
        return self.folder / "truth.star"

    @property
    def true_map(self) -> Path:
        """The molecule at rest, on the absolute scale of the images."""
        return self.folder / "truth.mrc"

    @property
    def reference(self) -> Path:
        """The low-passed true map to start from."""
        return self.folder / "reference.mrc"


def load_demo_protein() -> tuple[Atoms, Slab]:
    """Return the atoms and the membrane slab of the embedded model (see data/README.md)."""
    resource = files("relion_external") / "data" / "bcsab.npz"
    with as_file(resource) as path, np.load(path) as model:
        atoms = Atoms(
            coordinates=model["coordinates"].astype(np.float32),
            weights=model["weights"].astype(np.float32),
            b_factors=model["b_factors"].astype(np.float32),
        )
        slab = Slab(model["slab_axis"], model["slab_centre"], float(model["slab_thickness"]))
    return atoms, slab


def demo_specimen(in_belt: bool = True, b_factor: float = 50.0) -> Specimen:
    """Return the embedded protein; `b_factor` (Å²) is added to that of each atom."""
    protein, slab = load_demo_protein()
    protein = Atoms(protein.coordinates, protein.weights, protein.b_factors + b_factor)
    return Specimen(protein, belts=BeltMaker(protein, slab, BeltShape()) if in_belt else None)


def write_simulated_set(
    folder: Path,
    options: SimulationOptions,
    progress: Progress | None = None,
    *,
    specimen: Specimen | None = None,
    truth: pd.DataFrame | None = None,
) -> SimulatedSet:
    """Simulate and write one set; the same arguments give the same files.

    Parameters
    ----------
    folder : Path
    options : SimulationOptions
    progress : callable, optional
        Called with the number of images done and the number of all.
    specimen : Specimen, optional
        What is imaged; :func:`demo_specimen` unless given.
    truth : DataFrame, optional
        The true particle table, as :func:`draw_truth` makes one, which it does unless given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = SimulatedSet(folder)
    specimen = specimen or demo_specimen()
    pose_rng, image_rng = (np.random.default_rng([options.seed, part]) for part in (0, 1))
    if truth is None:
        truth = draw_truth(options, pose_rng)
    start = _perturb(truth, options, pose_rng)

    images = _noiseless_images(specimen, truth, options, image_rng, progress)
    scale = signal_scale(images, options.signal_to_noise)
    images *= 0.0 if options.empty else scale
    for first in range(0, len(images), 100):
        block = images[first : first + 100]
        block += draw_noise(len(block), options.box, image_rng, _spectrum(options))
        if options.random_phases_beyond:
            shell = options.box * options.voxel_size / options.random_phases_beyond
            block[:] = randomise_phases(block, shell, image_rng)

    transform = map_transform(specimen.at_rest, options.box, options.voxel_size)
    transform *= np.float32(scale)
    true_map, reference = to_real_space(transform), to_real_space(_low_pass(transform, options))
    _write_stack(result.images, images, options.voxel_size)
    write_map(result.true_map, true_map, options.voxel_size, "simulated protein")
    write_map(result.reference, reference, options.voxel_size, "simulated protein, low-passed")
    optics = _optics_table(options)
    for path, table in ((result.true_particles, truth), (result.particles, start)):
        starfile.write({"optics": optics, "particles": table}, path, overwrite=True)
    return result


def draw_truth(options: SimulationOptions, rng: np.random.Generator) -> pd.DataFrame:
    """Return the particle table with random true poses, CTFs and half-sets."""
    count = options.particles
    defocus = rng.uniform(*options.defocus_range, count)
    astigmatism = np.abs(rng.normal(0.0, options.astigmatism_sd, count))
    truth = pd.DataFrame(
        {
            "rlnImageName": image_names(count),
            "rlnMicrographName": "simulated.mrc",
            "rlnOpticsGroup": 1,
            "rlnDefocusU": defocus + astigmatism / 2,
            "rlnDefocusV": defocus - astigmatism / 2,
            "rlnDefocusAngle": rng.uniform(0.0, 180.0, count),
            "rlnRandomSubset": rng.permutation(np.arange(count) % 2 + 1),
        }
    )
    truth[ANGLES] = random_orientations(count, rng)
    truth[ORIGINS] = rng.normal(0.0, options.origin_sd, (count, 2))
    return truth


def image_names(count: int) -> list[str]:
    """Return the names of the images of a set, in RELION's form."""
    return [f"{number:06d}@particles.mrcs" for number in range(1, count + 1)]


def _perturb(
    truth: pd.DataFrame, options: SimulationOptions, rng: np.random.Generator
) -> pd.DataFrame:
    """The table with the poses to start from."""
    start = truth.copy()
    start[ANGLES] = perturb_orientations(truth[ANGLES], options.pose_error, rng)
    start[ORIGINS] = truth[ORIGINS] + rng.normal(0.0, options.origin_error, (len(truth), 2))
    return start


def _spectrum(options: SimulationOptions) -> NDArray[np.float64] | None:
    return None if options.noise_amplitude is None else np.asarray(options.noise_amplitude)


def _noiseless_images(
    specimen: Specimen,
    table: pd.DataFrame,
    options: SimulationOptions,
    rng: np.random.Generator,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Projections with CTF and shift, (particles, box, box)."""
    box, voxel_size = options.box, options.voxel_size
    project_rigid = Projector(specimen.rigid, box, voxel_size)
    rotations = euler_to_matrix(table[ANGLES])
    origins = table[ORIGINS].to_numpy()
    defocus = table[DEFOCUS].to_numpy()
    images = np.empty((len(table), box, box), dtype=np.float32)
    for index, rotation in enumerate(rotations):
        transform = project_rigid(rotation)
        if specimen.varies:
            transform += Projector(specimen.draw(rng), box, voxel_size)(rotation)
        transform *= contrast_transfer(box, voxel_size, options.optics, *defocus[index])[0]
        # RELION's origin is the shift that would centre the particle.
        transform *= shift_phases(-origins[index], box, voxel_size)
        images[index] = to_real_space(transform)
        if progress:
            progress(index + 1, len(table))
    return images


def _low_pass(
    transform: NDArray[np.complex64], options: SimulationOptions
) -> NDArray[np.complex64]:
    cutoff_shell = options.box * options.voxel_size / options.reference_resolution
    gain = raised_cosine_low_pass(radii(options.box), cutoff_shell, edge_width=2.0)
    return apply_radial(transform, gain)


def _optics_table(options: SimulationOptions) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnOpticsGroup": [1],
            "rlnVoltage": [options.optics.voltage_kilovolt],
            "rlnSphericalAberration": [options.optics.spherical_aberration_mm],
            "rlnAmplitudeContrast": [options.optics.amplitude_contrast],
            "rlnImagePixelSize": [options.voxel_size],
            "rlnImageSize": [options.box],
            "rlnImageDimensionality": [2],
        }
    )


def _write_stack(path: Path, images: NDArray[np.float32], voxel_size: float) -> None:
    with mrcfile.new(path, images, overwrite=True) as mrc:
        mrc.set_image_stack()
        mrc.voxel_size = voxel_size
