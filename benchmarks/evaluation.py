"""What a refinement's last poses are worth: maps made from them, against the truth.

Whatever regularised the references, the maps are made alike: `relion_reconstruct` of each half-set
from the last poses, after the rotation and shift that the half-set shares against the truth has
been taken out (not from a set of pure noise, where there is nothing to share).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import starfile
from sets import LabSet

from plugin_core.fourier import shell_to_angstrom
from plugin_core.fsc import fourier_shell_correlation, last_shell_above
from plugin_core.masks import particle_sphere
from relion_external import star
from relion_external.processes import run_to_the_end
from relion_external.refine_files import iteration_file
from relion_external.refinement import (
    RefinementOptions,
    in_frame_of_truth,
    particle_table,
    true_mates,
)
from relion_external.volumes import read_map, write_map

PARTS = ("whole", "rigid", "disordered")


@dataclass(frozen=True)
class Evaluation:
    """Correlations by shell, each a list of N // 2 + 1 numbers.

    Attributes
    ----------
    particles : int
    box : int
    voxel_size : float
        In Å.
    to_truth : dict
        FSC of the map of all particles to the truth; by part (PARTS).
    half_to_truth : list
        FSC of a half-map to the truth within the particle's sphere, mean of the two.
    half_to_half : list
        FSC of the two half-maps within the particle's sphere.
    relions_own : list
        The FSC that RELION wrote for the last iteration.
    """

    particles: int
    box: int
    voxel_size: float
    to_truth: dict[str, list[float]]
    half_to_truth: list[float]
    half_to_half: list[float]
    relions_own: list[float]

    def resolution(self, part: str) -> float:
        """Resolution in Å to which a part's FSC to the truth stays above one half.

        Interpolated linearly between shells, which are too coarse to tell small sets apart.
        """
        fsc = np.array(self.to_truth[part])
        last = last_shell_above(fsc, 0.5)
        shell = float(last)
        if last + 1 < len(fsc):
            shell += (fsc[last] - 0.5) / (fsc[last] - fsc[last + 1])
        return shell_to_angstrom(max(shell, 1.0), self.box, self.voxel_size)

    @property
    def flattery(self) -> float:
        """Largest excess of RELION's FSC, over what the half-maps' agreement with truth predicts.

        Two half-maps of independent errors, each with FSC c to the truth, have an FSC of c^2 to
        each other. Shells in which RELION joins the half-sets (coarser than 40 Å) are left out.
        """
        first = int(np.ceil(self.box * self.voxel_size / 40)) + 1
        predicted = np.clip(self.half_to_truth, 0, 1) ** 2
        return float(np.max((np.array(self.relions_own) - predicted)[first:]))

    def to_json(self) -> dict[str, Any]:
        """For a record."""
        return dict(json.loads(json.dumps(asdict(self))))

    @staticmethod
    def from_json(values: dict[str, Any]) -> Evaluation:
        """From a record."""
        return Evaluation(**values)


def evaluate(lab: LabSet, folder: Path, options: RefinementOptions, iteration: int) -> Evaluation:
    """Reconstruct both half-sets from the poses of the last iteration, and compare with truth."""
    made = json.loads(lab.record.read_text())
    box, voxel_size = made["box"], made["voxel_size"]
    last = iteration_file(folder / "run", iteration, "data")
    poses = folder / "final_poses.star"
    table = particle_table(last)
    if not made["empty"]:
        truth = true_mates(table, particle_table(lab.true_particles), options.symmetry)
        table = in_frame_of_truth(table, truth)
    blocks = star.read_blocks(last)
    blocks["particles"] = table.reset_index()
    starfile.write(blocks, poses, overwrite=True)
    half_maps = [
        _reconstruct(lab, poses, folder / f"final_half{half}.mrc", half, options.symmetry, box)
        for half in (1, 2)
    ]
    joined = (half_maps[0] + half_maps[1]) / 2
    write_map(folder / "final.mrc", joined, voxel_size, "from the final poses")
    sphere = particle_sphere(box, options.particle_diameter, voxel_size)
    true_map = read_map(lab.mean_map, box)
    masks = {"whole": sphere, "rigid": read_map(lab.rigid_mask, box)}
    if lab.disordered_mask.exists():
        masks["disordered"] = read_map(lab.disordered_mask, box)
    of_half = [fourier_shell_correlation(half * sphere, true_map * sphere) for half in half_maps]
    return Evaluation(
        particles=len(table),
        box=box,
        voxel_size=voxel_size,
        to_truth={
            part: fourier_shell_correlation(joined * mask, true_map * mask).tolist()
            for part, mask in masks.items()
        },
        half_to_truth=np.mean(of_half, axis=0).tolist(),
        half_to_half=fourier_shell_correlation(
            half_maps[0] * sphere, half_maps[1] * sphere
        ).tolist(),
        relions_own=relions_fsc(folder / "run", iteration).tolist(),
    )


def relions_fsc(root: Path, iteration: int) -> np.ndarray:
    """The FSC that RELION wrote for one iteration."""
    model = star.read_blocks(iteration_file(root, iteration, "half1_model"))
    return np.asarray(model["model_class_1"][star.FSC], dtype=np.float64)


def _reconstruct(
    lab: LabSet, poses: Path, result: Path, half: int, symmetry: str, box: int
) -> np.ndarray:
    run_to_the_end(
        [
            *("relion_reconstruct", "--i", str(poses.resolve()), "--o", str(result.resolve())),
            *("--ctf", "--subset", str(half), "--sym", symmetry),
        ],
        working_folder=lab.folder,
        log_path=result.with_suffix(".log"),
        time_limit_s=3600,
        environment=dict(os.environ),
    )
    return read_map(result, box)
