"""The laboratory's data sets: simulated particles whose poses and map are known.

    python benchmarks/sets.py transporter --out lab/transporter --seed 1 --models MODELS

writes a folder with the images, the STAR file to start from, the true one, the true map, the mean
of what was imaged, masks of the rigid and the disordered part, and set.json, which says how it was
made. A folder that was made with the same options is left as it is.

What each set is for, and which are kept for choosing defaults and never reported, is in SETS below
and in docs/evidence.md. All but `bcsab` need gemmi and the atomic models.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products: threads only wait

import numpy as np
import pandas as pd
import starfile
from scipy.ndimage import distance_transform_edt, gaussian_filter

from plugin_core.simulation.belt import BeltMaker, BeltShape
from plugin_core.simulation.ctf import Optics
from plugin_core.simulation.poses import matrix_to_euler, random_orientations
from plugin_core.simulation.projection import Atoms, map_transform, to_real_space
from plugin_core.simulation.specimen import HingedDomain, Specimen, join
from relion_external.progress import progress_bar
from relion_external.simulated_set import (
    ANGLES,
    DEFOCUS,
    ORIGINS,
    SimulatedSet,
    SimulationOptions,
    demo_specimen,
    draw_truth,
    image_names,
    write_simulated_set,
)
from relion_external.volumes import read_map, write_map

MODELS = Path(__file__).parents[1].parent / "shared/data/models"
"""Where the atomic models are unless --models says otherwise."""
SOFT_EDGE = 3.0  # voxels, of the masks
DRAWS_OF_THE_MEAN = 100
EXTRA_B_FACTOR = 50.0  # Å², for what a microscope and its camera add


@dataclass(frozen=True)
class Recipe:
    """How a set is made.

    Attributes
    ----------
    about : str
        What it stands for.
    specimen : callable
        Makes the specimen from the folder of the atomic models.
    particle_diameter : float
        In Å.
    small, large : SimulationOptions
        A set that is refined in minutes, and one that takes hours.
    true_table : callable or None
        Makes the true particle table from the folder of models, the options and a generator of
        random numbers; None draws uniform orientations.
    symmetry : str
        Given to RELION.
    """

    about: str
    specimen: Callable[[Path], Specimen]
    particle_diameter: float
    small: SimulationOptions
    large: SimulationOptions
    true_table: Callable[[Path, SimulationOptions, np.random.Generator], pd.DataFrame] | None = None
    symmetry: str = "C1"


@dataclass(frozen=True)
class LabSet(SimulatedSet):
    """The files of a simulated set, with what the laboratory adds."""

    @property
    def mean_map(self) -> Path:
        """Mean over the particles of what was imaged, on the scale of the images."""
        return self.folder / "mean.mrc"

    @property
    def rigid_mask(self) -> Path:
        """Soft mask of the part that is the same in every particle."""
        return self.folder / "mask_rigid.mrc"

    @property
    def disordered_mask(self) -> Path:
        """Soft mask of the rest; absent where nothing varies."""
        return self.folder / "mask_disordered.mrc"

    @property
    def record(self) -> Path:
        """How the set was made (JSON)."""
        return self.folder / "set.json"


def transporter(models: Path) -> Specimen:
    """Drosophila dopamine transporter with Fab 9D5 (4M48), in a belt."""
    from atomic_models import read_model
    from molecules import atoms_of, upright

    model = read_model(models / "4m48.pdb.gz")
    slab = upright(model, "A")
    atoms = _blurred(atoms_of(model))
    return Specimen(atoms, belts=BeltMaker(atoms, slab, BeltShape()))


def transferrin_receptor(models: Path) -> Specimen:
    """Neisserial TbpA, a beta barrel, with transferrin as the handle (3V8X), in a belt."""
    from atomic_models import read_model
    from molecules import atoms_of, upright

    model = read_model(models / "3v8x.pdb.gz")
    slab = upright(model, "A")
    atoms = _blurred(atoms_of(model))
    return Specimen(atoms, belts=BeltMaker(atoms, slab, BeltShape()))


def receptor(models: Path) -> Specimen:
    """NMDA receptor (6MMM) whose amino-terminal domains, as one body, swing on their linkers."""
    from atomic_models import read_model
    from molecules import atoms_of, upright

    model = read_model(models / "6mmm.cif.gz")
    upright(model, "ABCD")
    moving = atoms_of(model, "ABCD", range(1, 394))
    # Everything but the moving part: the model's further chains are sugars on these domains.
    rigid = atoms_of(model, "ABCD", range(394, 2000))
    hinge = atoms_of(model, "ABCD", range(393, 400)).coordinates.mean(axis=0)
    # The entry's B factors (mean 289 Å²) are those of a 6.8 Å map: nothing is added.
    return Specimen(rigid, HingedDomain(moving, hinge.astype(np.float64), swing_sd=6.0))


def enzyme(models: Path) -> Specimen:
    """Beta-galactosidase (5A1A), two-fold axes along x, y and z."""
    from atomic_models import read_model
    from molecules import atoms_of, centre

    model = read_model(models / "5a1a.cif.gz")
    centre(model)
    return Specimen(_blurred(atoms_of(model)))


def _blurred(atoms: Atoms) -> Atoms:
    return Atoms(atoms.coordinates, atoms.weights, atoms.b_factors + EXTRA_B_FACTOR)


def preferred_views(
    models: Path, options: SimulationOptions, rng: np.random.Generator
) -> pd.DataFrame:
    """Four fifths of the particles are seen from within some 25 degrees of one axis."""
    table = draw_truth(options, rng)
    angles = random_orientations(options.particles, rng)
    preferred = rng.random(options.particles) < 0.8
    tilt = np.degrees(np.abs(rng.normal(0.0, np.radians(25.0), options.particles)))
    flipped = rng.random(options.particles) < 0.5
    # The preferred direction lies in the membrane plane: y of the particle looks at the viewer.
    near = _turned_to_y(angles[:, 0], np.where(flipped, 180.0 - tilt, tilt), angles[:, 2])
    table[ANGLES] = np.where(preferred[:, None], near, angles)
    return table


def _turned_to_y(rot: np.ndarray, tilt: np.ndarray, psi: np.ndarray) -> np.ndarray:
    from plugin_core.simulation.poses import euler_to_matrix

    to_y = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return matrix_to_euler(euler_to_matrix(np.stack([rot, tilt, psi], axis=1)) @ to_y)


def real_table(models: Path, options: SimulationOptions, rng: np.random.Generator) -> pd.DataFrame:
    """Poses, CTFs and half-sets of a real refinement of beta-galactosidase (RELION's tutorial)."""
    particles = _star_of_the_tutorial(models, "data")["particles"]
    if options.particles > len(particles):
        raise ValueError(f"the real refinement has {len(particles)} particles only")
    chosen = particles.iloc[np.sort(rng.permutation(len(particles))[: options.particles])]
    columns = [*DEFOCUS, "rlnRandomSubset", *ANGLES, *ORIGINS]
    table = chosen[columns].reset_index(drop=True)
    table.insert(0, "rlnImageName", image_names(len(table)))
    table.insert(1, "rlnMicrographName", "simulated.mrc")
    table.insert(2, "rlnOpticsGroup", 1)
    return table


def real_noise(models: Path, options: SimulationOptions) -> tuple[float, ...]:
    """Noise amplitude per shell of the set's box, from the mean sigma2 of that refinement."""
    blocks = _star_of_the_tutorial(models, "half1_model")
    spectra = [block for name, block in blocks.items() if name.startswith("model_group_")]
    sigma2 = np.mean([spectrum["rlnSigma2Noise"] for spectrum in spectra], axis=0)
    frequency = spectra[0]["rlnResolution"]
    wanted = np.arange(options.box // 2 + 1) / (options.box * options.voxel_size)
    return tuple(float(a) for a in np.sqrt(np.interp(wanted, frequency, sigma2)))


def _star_of_the_tutorial(models: Path, kind: str) -> dict[str, pd.DataFrame]:
    packed = models.parent / f"reference_star/betagal_relion4_run_it016_{kind}.star.gz"
    plain = Path(os.environ.get("TMPDIR", "/tmp")) / f"{os.getpid()}_{kind}.star"
    try:
        plain.write_bytes(gzip.decompress(packed.read_bytes()))
        return dict(starfile.read(plain, always_dict=True))
    finally:
        plain.unlink(missing_ok=True)


# The noise level was set by RELION's own run on the transporter, before any other was made:
# at 0.03 that ended no better than it started, at 17 Å. Noise has variance 1 a pixel, so that the
# ratio falls with the pixel's area, and it rises with the mass in the image.
_SMALL = SimulationOptions(particles=2000, box=64, voxel_size=3.0, signal_to_noise=0.05)
_LARGE = SimulationOptions(particles=20000, box=144, voxel_size=1.4, signal_to_noise=0.01)
_MICROSCOPE_200KV = Optics(voltage_kilovolt=200.0, spherical_aberration_mm=1.4)
_ENZYME_SMALL = replace(_SMALL, box=72, signal_to_noise=0.08, optics=_MICROSCOPE_200KV)
_ENZYME_LARGE = replace(
    _LARGE, particles=4782, box=160, signal_to_noise=0.016, optics=_MICROSCOPE_200KV
)

SETS: dict[str, Recipe] = {
    "transporter": Recipe(
        "(a) a small membrane protein with a Fab, each particle in a belt of its own",
        transporter,
        160.0,
        _SMALL,
        _LARGE,
    ),
    "receptor": Recipe(
        "(b) a complex of which one half swings",
        receptor,
        190.0,
        replace(_SMALL, box=72, signal_to_noise=0.065),
        replace(_LARGE, box=160, signal_to_noise=0.013),
    ),
    "enzyme": Recipe(
        "(c) a large soluble enzyme with real poses, CTFs, half-sets and noise spectrum, as C1",
        enzyme,
        190.0,
        _ENZYME_SMALL,
        _ENZYME_LARGE,
        real_table,
    ),
    "enzyme-d2": Recipe(
        "(c) the same, refined with its symmetry",
        enzyme,
        190.0,
        _ENZYME_SMALL,
        _ENZYME_LARGE,
        real_table,
        symmetry="D2",
    ),
    "views": Recipe(
        "(d) the transporter, most particles lying in one direction",
        transporter,
        160.0,
        _SMALL,
        _LARGE,
        preferred_views,
    ),
    "noise": Recipe(
        "(e) pure noise, refined against the transporter",
        transporter,
        160.0,
        replace(_SMALL, empty=True),
        replace(_LARGE, empty=True),
    ),
    "randomised": Recipe(
        "the transporter with random phases beyond 15 Å in its images: nothing to be found there",
        transporter,
        160.0,
        replace(_SMALL, random_phases_beyond=15.0),
        replace(_LARGE, random_phases_beyond=8.0),
    ),
    # For choosing defaults; never reported.
    "bcsab": Recipe(
        "tuning: the embedded membrane protein, each particle in a belt of its own",
        lambda models: demo_specimen(),
        184.0,
        _SMALL,
        replace(_SMALL, particles=3000, box=96, voxel_size=2.0, signal_to_noise=0.008),
    ),
    "transferrin": Recipe(
        "tuning: a beta barrel with transferrin, each particle in a belt of its own",
        transferrin_receptor,
        170.0,
        _SMALL,
        _LARGE,
    ),
}


def make_set(
    name: str, folder: Path, size: str, seed: int, models: Path, particles: int | None = None
) -> LabSet:
    """The set in `folder`, made only if it is not there yet with these very options."""
    recipe = SETS[name]
    options = replace(recipe.small if size == "small" else recipe.large, seed=seed)
    if particles:
        options = replace(options, particles=particles)
    if recipe.true_table is real_table:
        options = replace(options, noise_amplitude=real_noise(models, options))
    result = LabSet(folder)
    given = {key: value for key, value in asdict(options).items() if value is not None}
    wanted = json.loads(json.dumps({"set": name} | given))
    if result.record.exists() and json.loads(result.record.read_text()) == wanted:
        return result
    specimen = recipe.specimen(models)
    rng = np.random.default_rng([seed, 2])
    truth = recipe.true_table(models, options, rng) if recipe.true_table else None
    with progress_bar(options.particles, f"simulating {name}, seed {seed}", "image") as bar:
        write_simulated_set(
            folder,
            options,
            lambda done, _: bar.update(done - bar.n),
            specimen=specimen,
            truth=truth,
        )
    _write_mean_and_masks(result, specimen, options)
    result.record.write_text(json.dumps(wanted, indent=1))
    return result


def first_particles(lab: LabSet, count: int) -> LabSet:
    """The set with its first `count` particles only; the images are shared."""
    subset = LabSet(lab.folder, count)
    blocks = starfile.read(lab.particles, always_dict=True)
    if count > len(blocks["particles"]):
        raise ValueError(f"{lab.particles} has {len(blocks['particles'])} particles only")
    blocks["particles"] = blocks["particles"].head(count)
    starfile.write(blocks, subset.particles, overwrite=True)
    return subset


def solvent_mask(lab: LabSet) -> Path:
    """A soft mask of all that a particle of the set is made of, written if it is not there yet."""
    path = lab.folder / "mask_solvent.mrc"
    if not path.exists():
        made = json.loads(lab.record.read_text())
        parts = [each for each in (lab.rigid_mask, lab.disordered_mask) if each.exists()]
        mask = sum(read_map(part, made["box"]) for part in parts)
        write_map(path, np.clip(mask, 0, 1), made["voxel_size"], "solvent mask")
    return path


def _write_mean_and_masks(lab: LabSet, specimen: Specimen, options: SimulationOptions) -> None:
    box, voxel_size = options.box, options.voxel_size
    at_rest = to_real_space(map_transform(specimen.at_rest, box, voxel_size))
    molecule = read_map(lab.true_map, box)
    scale = float(np.sum(at_rest * molecule) / np.sum(at_rest**2))
    rigid = to_real_space(map_transform(specimen.rigid, box, voxel_size)) * scale
    rigid_mask = _soft(_blur(rigid, voxel_size) > 0.1 * _blur(rigid, voxel_size).max())
    mean = rigid
    if specimen.varies:
        rng = np.random.default_rng([options.seed, 3])
        drawn = join(*(specimen.draw(rng) for _ in range(DRAWS_OF_THE_MEAN)))
        drawn = Atoms(drawn.coordinates, drawn.weights / DRAWS_OF_THE_MEAN, drawn.b_factors)
        varying = _transform_in_parts(drawn, box, voxel_size) * scale
        mean = rigid + varying
        region = _blur(varying, voxel_size) > 0.1 * _blur(varying, voxel_size).max()
        disordered = np.clip(_soft(region) - rigid_mask, 0, 1)
        write_map(lab.disordered_mask, disordered, voxel_size, "mask of the disordered part")
    write_map(lab.mean_map, mean, voxel_size, "mean of what was imaged")
    write_map(lab.rigid_mask, rigid_mask, voxel_size, "mask of the rigid part")


def _transform_in_parts(atoms: Atoms, box: int, voxel_size: float) -> np.ndarray:
    """Map of very many atoms, in parts that fit into memory."""
    total = np.zeros((box,) * 3, dtype=np.float32)
    for first in range(0, len(atoms), 20000):
        part = slice(first, first + 20000)
        some = Atoms(atoms.coordinates[part], atoms.weights[part], atoms.b_factors[part])
        total += to_real_space(map_transform(some, box, voxel_size))
    return total


def _blur(volume: np.ndarray, voxel_size: float) -> np.ndarray:
    return gaussian_filter(volume, 4.0 / voxel_size)


def _soft(region: np.ndarray) -> np.ndarray:
    """Soft mask of a region, 1 inside, falling to 0 over a few voxels around it."""
    distance = distance_transform_edt(~region)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip(distance / SOFT_EDGE, 0, 1))).astype(np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that all commands of the laboratory share."""
    parser.add_argument("set", choices=SETS, help="which set")
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of atomic models")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--particles", type=int, help="instead of the size's own number")
    args = parser.parse_args()
    made = make_set(args.set, args.out, args.size, args.seed, args.models, args.particles)
    print(f"{made.folder}: {SETS[args.set].about}")


if __name__ == "__main__":
    main()
