"""The demonstration: a simulated particle set, refined by RELION with and without the hook."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugin_core.fourier import (
    apply_radial,
    irfftn,
    radii,
    raised_cosine_low_pass,
    rfftn,
    shell_to_angstrom,
)
from plugin_core.fsc import last_shell_above
from relion_external import demo_figure, hook_variable
from relion_external.demo_figure import Method
from relion_external.demo_options import PARTICLE_DIAMETER, DemoOptions, agreement_with_truth
from relion_external.panels import Picture
from relion_external.processes import run_to_the_end
from relion_external.progress import progress_bar
from relion_external.refinement import (
    IterationResult,
    RefinementOptions,
    refine,
)
from relion_external.simulated_set import SimulatedSet, SimulationOptions, write_simulated_set
from relion_external.volumes import read_map

SIGNAL_TO_NOISE = 0.04
RELION, OURS = "RELION", "RELION + relion-external"


@dataclass(frozen=True)
class Outcome:
    """One refinement compared with the truth."""

    name: str
    iterations: list[IterationResult]
    reference: NDArray[np.float32]
    fsc_to_truth: NDArray[np.float64]
    voxel_size: float

    @property
    def last(self) -> IterationResult:
        """The last iteration."""
        return self.iterations[-1]

    @property
    def agreement(self) -> float:
        """Resolution in Å to which the FSC to the truth stays above 0.5."""
        shell = max(last_shell_above(self.fsc_to_truth, 0.5), 1)
        return shell_to_angstrom(shell, len(self.reference), self.voxel_size)


def demonstrate(options: DemoOptions) -> Path:
    """Simulate, refine twice, print a table; return the path of the picture."""
    simulated = _simulate(options)
    folder = options.folder / "with_hook"
    outcomes = [
        _refine(simulated, options.folder / "without_hook", options, RELION, None),
        _refine(simulated, folder, options, OURS, hook_variable.command(["--gpu", options.gpu])),
    ]
    print(f"\n{table(outcomes)}\n")
    last_call = f"run_it{outcomes[1].last.iteration:03d}_half1_class001_external_reconstruct"
    picture = options.folder / "demo.png"
    finest = min(outcome.agreement for outcome in outcomes)
    truth = _low_passed(read_map(simulated.true_map, options.box), finest, options.voxel_size)
    demo_figure.draw(
        picture,
        "Simulated membrane protein in a detergent belt: "
        f"{options.particles} particles, iteration {options.iterations}, half-map 1",
        [
            Picture(f"truth without belt, low-passed to {finest:.0f} Å", truth),
            *(Picture(f"reference, {o.name}", o.reference) for o in outcomes),
        ],
        read_map(folder / f"{last_call}_cutoff.mrc", options.box),
        [Method(o.name, o.fsc_to_truth, [i.angular_error for i in o.iterations]) for o in outcomes],
        options.voxel_size,
        "FSC to the truth of maps made from the final poses, both alike",
    )
    return picture


def table(outcomes: list[Outcome]) -> str:
    """Table of what the two refinements reached."""
    start = outcomes[0].iterations[0]
    rows = [
        ["", "angular error", "shift error", "agrees with truth", "RELION says"],
        ["", "degrees", "Å", "to, Å", "Å"],
        ["start", f"{start.angular_error:.2f}", f"{start.origin_error:.2f}", "", ""],
    ]
    for outcome in outcomes:
        last = outcome.last
        errors = [f"{last.angular_error:.2f}", f"{last.origin_error:.2f}"]
        resolutions = [f"{outcome.agreement:.1f}", f"{last.resolution or np.inf:.1f}"]
        rows.append([outcome.name, *errors, *resolutions])
    lines = [f"{row[0]:24}" + "".join(f"{cell:>20}" for cell in row[1:]) for row in rows]
    note = (
        "Errors: medians over the particles against their true poses (the first iteration, with "
        "its 30 Å\nreference, makes them worse before they get better). Agreement: FSC 0.5 between "
        "the truth and\nRELION's plain reconstruction from the final poses."
    )
    return "\n".join([*lines, note])


def _low_passed(
    volume: NDArray[np.float32], resolution: float, voxel_size: float
) -> NDArray[np.float32]:
    box = len(volume)
    gain = raised_cosine_low_pass(radii(box), box * voxel_size / resolution, edge_width=5.0)
    return irfftn(apply_radial(rfftn(volume), gain), box)


def _simulate(options: DemoOptions) -> SimulatedSet:
    simulation = SimulationOptions(
        particles=options.particles,
        box=options.box,
        voxel_size=options.voxel_size,
        seed=options.seed,
        signal_to_noise=SIGNAL_TO_NOISE,
    )
    with progress_bar(options.particles, "simulating particles", "image") as bar:
        return write_simulated_set(
            options.folder / "particles", simulation, lambda done, _: bar.update(done - bar.n)
        )


def _refine(
    simulated: SimulatedSet, folder: Path, options: DemoOptions, name: str, hook: str | None
) -> Outcome:
    refinement = RefinementOptions(
        particle_diameter=PARTICLE_DIAMETER, iterations=options.iterations, seed=options.seed
    )
    with progress_bar(options.iterations, name, "iteration") as bar:

        def show(result: IterationResult) -> None:
            bar.set_postfix_str(f"{result.angular_error:.2f} degrees off", refresh=False)
            bar.update(result.iteration - bar.n)

        iterations = refine(simulated, folder, refinement, hook, show, lambda: bar.update(0))
    last = f"run_it{iterations[-1].iteration:03d}"
    reference = folder / f"{last}_half1_class001.mrc"
    return Outcome(
        name,
        iterations,
        read_map(reference, options.box),
        _fsc_of_final_poses(simulated, folder.resolve() / f"{last}_data.star", options),
        options.voxel_size,
    )


def _fsc_of_final_poses(
    simulated: SimulatedSet, poses: Path, options: DemoOptions
) -> NDArray[np.float64]:
    """FSC to the truth of RELION's plain reconstruction from the poses of the last iteration."""
    result = poses.with_name("final_poses.mrc")
    run_to_the_end(
        ["relion_reconstruct", "--i", str(poses), "--ctf", "--o", str(result)],
        working_folder=simulated.folder,
        log_path=result.with_suffix(".log"),
        time_limit_s=600,
        environment=dict(os.environ),
    )
    truth = read_map(simulated.true_map, options.box)
    return agreement_with_truth(read_map(result, options.box), truth, options.voxel_size)
