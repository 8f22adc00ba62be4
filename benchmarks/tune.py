"""Choose defaults: the error of the regularised map at fixed poses, for each of many variants.

    python benchmarks/tune.py bcsab transferrin --out lab/tune

The true poses of each set, turned by --pose_error and shifted, are given to relion_refine_mpi,
which keeps them (--skip_align) and makes two M-steps. The second one's call for half-set 1 is then
answered by every variant, and the answer compared with the truth (the mean of what was imaged):
squared error inside the particle's sphere, divided by the truth's squared density there, so that 1
is an empty map. Defaults are chosen on the sets that are kept apart for this (bcsab, transferrin);
the others are only measured (`--variants baseline`). Writes tune.md. A row is one variant, all else
being as by default.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products: threads only wait

import numpy as np
import starfile
from sets import MODELS, SETS, LabSet, make_set

from plugin_core import noise
from plugin_core.fourier import apply_radial, irfftn, radii, raised_cosine_low_pass, rfftn
from plugin_core.fsc import last_shell_above
from plugin_core.masks import particle_sphere
from plugin_core.nonuniform.risks import SplitNoiseRisk
from plugin_core.nonuniform.search import search
from plugin_core.regularizers.denoiser import DEFAULT_TRAILING_DISTANCE
from plugin_core.regularizers.interface import RegularizerInput
from plugin_core.regularizers.nonuniform import NonuniformParameters, regularize
from plugin_core.simulation.poses import perturb_orientations
from plugin_core.spectral_trailing import trail, trailing_shell
from relion_external import hook_variable
from relion_external.accumulated import Accumulated
from relion_external.errors import UserError
from relion_external.iteration import HookCall, read_call
from relion_external.mpi import mpirun_command
from relion_external.processes import run_to_the_end
from relion_external.refinement import RefinementOptions, relion_arguments
from relion_external.simulated_set import ANGLES, ORIGINS
from relion_external.volumes import read_map

FINEST_ANGSTROM = 8.0  # to which the first M-step goes
MIN_SHELL = 5  # from which RELION's own filter regularises


@dataclass(frozen=True)
class Step:
    """One M-step of a half-set: what the hook is given, and what it should make of it."""

    call: HookCall
    accumulated: Accumulated
    inputs: RegularizerInput
    truth: np.ndarray
    sphere: np.ndarray
    rigid: np.ndarray
    molecule: np.ndarray

    @property
    def shells(self) -> np.ndarray:
        """FSC up to the last measured shell."""
        return self.call.fsc[: self.call.max_shell + 1]

    def error(self, volume: np.ndarray, mask: np.ndarray) -> float:
        """Squared error relative to the truth, inside a soft mask."""
        wrong = np.sum(((volume - self.truth) * mask) ** 2, dtype=np.float64)
        return float(wrong / np.sum((self.truth * mask) ** 2, dtype=np.float64))


Variant = Callable[[Step], np.ndarray]


def filtered(
    step: Step,
    parameters: NonuniformParameters = NonuniformParameters(),  # noqa: B008
    trailing: int | None = 0,
) -> np.ndarray:
    """The local filter, low-passed `trailing` shells before FSC 0.143 (None: not at all)."""
    return _trailed(step, regularize(step.inputs, parameters).volume, trailing)


def with_noise(step: Step, kind: str, factor: float = 1.0) -> np.ndarray:
    """The local filter with a noise spectrum from elsewhere."""
    raw = step.inputs.half_map
    if kind == "solvent":
        power = noise.from_solvent(raw, step.molecule)
    elif kind == "weights":
        power = noise.from_weights(step.accumulated.radial)
    else:
        power = step.inputs.noise_power
    inputs = replace(step.inputs, noise_power=factor * power)
    return _trailed(step, regularize(inputs, NonuniformParameters()).volume, 0)


def with_support(step: Step) -> np.ndarray:
    """The local filter inside a mask of molecule and belt, in place of the sphere."""
    inputs = replace(step.inputs, support=step.molecule)
    return _trailed(step, regularize(inputs, NonuniformParameters()).volume, 0)


def with_cutoffs(step: Step, coarsest: float, spacing: str) -> np.ndarray:
    """The local filter with other cutoffs: coarsest in Å, equispaced in shells or geometric."""
    box = len(step.truth)
    ends = box * step.inputs.voxel_size / coarsest, float(step.inputs.max_shell)
    cutoffs = (np.linspace if spacing == "equal" else np.geomspace)(*ends, 50)
    given = step.inputs
    risk = SplitNoiseRisk(
        given.half_map * given.support, given.support, given.noise_power, cutoffs, order=8
    )
    found = search(risk, cutoffs, order=8, awf=NonuniformParameters().awf)
    return _trailed(step, found.value, 0)


def uniform_butterworth(step: Step) -> np.ndarray:
    """One Butterworth-like low-pass for the whole map, at FSC 0.143, and nothing else."""
    box = len(step.truth)
    gain = raised_cosine_low_pass(radii(box), last_shell_above(step.shells), 3.0)
    masked = step.inputs.half_map * step.inputs.support
    return irfftn(apply_radial(rfftn(masked), gain), box)


def relions_own(step: Step) -> np.ndarray:
    """RELION's own Wiener filter, what the next reference would be without a hook."""
    return step.accumulated.wiener(MIN_SHELL) * step.sphere


def fsc_wiener(step: Step) -> np.ndarray:
    """The uniform filter by the FSC alone: each shell times its signal fraction."""
    box = len(step.truth)
    gain = np.interp(radii(box), np.arange(len(step.call.fsc)), np.clip(step.call.fsc, 0, 1))
    return irfftn(apply_radial(rfftn(step.inputs.half_map * step.inputs.support), gain), box)


def _trailed(step: Step, volume: np.ndarray, trailing: int | None) -> np.ndarray:
    return volume if trailing is None else trail(volume, trailing_shell(step.shells, trailing))


def _nonuniform(**changes: object) -> Variant:
    parameters = replace(NonuniformParameters(), **changes)  # type: ignore[arg-type]
    return partial(filtered, parameters=parameters)


BASELINE: dict[str, Variant] = {
    "raw half-map": lambda step: step.inputs.half_map * step.inputs.support,
    "RELION's own filter": relions_own,
    "FSC as a filter": fsc_wiener,
    "low-pass at FSC 0.143": uniform_butterworth,
    "**nonuniform, defaults**": filtered,
    "cross-half": _nonuniform(risk="cross-half"),
}
VARIANTS: dict[str, Variant] = BASELINE | {
    **{f"AWF {awf:g}": _nonuniform(awf=awf) for awf in (1, 1.5, 2, 4, 6)},
    **{f"order {order}": _nonuniform(order=order) for order in (2, 4, 16)},
    **{f"{levels} levels": _nonuniform(levels=levels) for levels in (12, 25, 100)},
    "geometric levels": partial(with_cutoffs, coarsest=40.0, spacing="geometric"),
    "levels from 80 Å": partial(with_cutoffs, coarsest=80.0, spacing="equal"),
    "levels from 25 Å": partial(with_cutoffs, coarsest=25.0, spacing="equal"),
    "noise from weights": partial(with_noise, kind="weights"),
    "noise from the solvent": partial(with_noise, kind="solvent"),
    **{f"noise × {f:g}": partial(with_noise, kind="fsc", factor=f) for f in (0.5, 0.7, 1.4, 2)},
    "mask of molecule and belt": with_support,
    "trailing 1 shell before": partial(filtered, trailing=1),
    "trailing 2 shells before": partial(filtered, trailing=2),
    "no trailing": partial(filtered, trailing=None),
}


def denoiser_variants(weights: Path) -> dict[str, Variant]:
    """The denoiser, and what can be made of it and the local filter together."""
    from denoised import open_denoiser  # imports PyTorch

    denoiser = open_denoiser(weights)

    def denoised(step: Step, seen: np.ndarray) -> np.ndarray:
        given = step.inputs
        bare = denoiser.network(seen, given.support, given.voxel_size)
        return denoiser.answer(bare, given.half_map * given.support, step.shells, given.voxel_size)

    def bare(step: Step) -> np.ndarray:
        given = step.inputs
        volume = denoiser.network(given.half_map, given.support, given.voxel_size)
        return _trailed(step, volume, DEFAULT_TRAILING_DISTANCE)

    def one_after_the_other(step: Step) -> np.ndarray:
        return denoised(step, regularize(step.inputs, NonuniformParameters()).volume)

    def alone(step: Step) -> np.ndarray:
        return denoised(step, step.inputs.half_map)

    return {
        "denoiser": alone,
        "denoiser, nothing of the half-map": bare,
        "local filter, then denoiser": one_after_the_other,
        "mean of local filter and denoiser": lambda step: (filtered(step) + alone(step)) / 2,
    }


def main() -> None:
    args = parse_arguments()
    variants = VARIANTS if args.variants == "all" else BASELINE
    if args.weights is not None:
        variants = variants | denoiser_variants(args.weights)
    try:
        steps = {name: make_step(args, name) for name in args.sets}
    except UserError as error:
        sys.exit(f"tune.py: {error}")
    text = table(steps, variants)
    (args.out / "tune.md").write_text(text)
    print(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pose_error", type=float, default=3.0, help="degrees")
    parser.add_argument("--origin_error", type=float, default=1.0, help="Å, each way")
    parser.add_argument("--variants", choices=("all", "baseline"), default="all")
    parser.add_argument("--weights", type=Path, help="of the denoiser: adds rows with it")
    return parser.parse_args()


def make_step(args: argparse.Namespace, name: str) -> Step:
    """The M-step of a set at fixed poses, made only if that has not been done yet."""
    home = args.out / f"{name}-{args.size}" / f"seed_{args.seed}"
    lab = make_set(name, home / "set", args.size, args.seed, args.models)
    recipe = SETS[name]
    folder = home / f"fixed_{args.pose_error:g}"
    star = folder / "run_it002_half1_class001_external_reconstruct.star"
    done = folder / "done"
    if not done.exists():
        folder.mkdir(exist_ok=True)
        poses = folder / "poses.star"
        write_poses(lab, poses, args.pose_error, args.origin_error, args.seed)
        options = RefinementOptions(
            recipe.particle_diameter,
            iterations=2,
            initial_low_pass=FINEST_ANGSTROM,
            symmetry=recipe.symmetry,
            seed=args.seed,
        )
        arguments = relion_arguments(lab, folder, options, external=True)
        arguments[arguments.index("--i") + 1] = str(poses.resolve())
        print(f"{name}: two M-steps at fixed poses", flush=True)
        run_to_the_end(
            [*mpirun_command(), *arguments, "--skip_align"],
            working_folder=lab.folder,
            log_path=folder / "run.log",
            time_limit_s=24 * 3600,
            environment=hook_variable.environment(
                hook_variable.command(["--method", "uniform", "--gpu", "cpu"])
            ),
        )
        done.touch()
    return read_step(star, lab, recipe.particle_diameter)


def write_poses(lab: LabSet, path: Path, degrees: float, angstrom: float, seed: int) -> None:
    """Write the true poses, each turned by so many degrees and shifted by normal deviates."""
    blocks = starfile.read(lab.true_particles, always_dict=True)
    table, rng = blocks["particles"], np.random.default_rng([seed, 4])
    table[ANGLES] = perturb_orientations(table[ANGLES], degrees, rng)
    table[ORIGINS] += rng.normal(0.0, angstrom, (len(table), 2))
    starfile.write(blocks, path, overwrite=True)


def read_step(star: Path, lab: LabSet, particle_diameter: float) -> Step:
    """What the hook is given in one call, and the truth."""
    call = read_call(star)
    made = json.loads(lab.record.read_text())
    box, voxel_size = made["box"], made["voxel_size"]
    accumulated = Accumulated(call, 2, False, np)
    raw = accumulated.raw()
    sphere = particle_sphere(box, particle_diameter, voxel_size)
    rigid = read_map(lab.rigid_mask, box)
    molecule = rigid
    if lab.disordered_mask.exists():
        molecule = np.clip(rigid + read_map(lab.disordered_mask, box), 0, 1)
    inputs = RegularizerInput(
        half_map=raw,
        partner=Accumulated(read_call(call.name.of_half(2)), 2, False, np).raw(),
        support=sphere,
        noise_power=noise.from_fsc(raw, sphere, call.fsc),
        voxel_size=voxel_size,
        max_shell=call.max_shell,
    )
    truth = read_map(lab.mean_map, box)
    return Step(call, accumulated, inputs, truth, sphere, rigid, molecule)


def table(steps: dict[str, Step], variants: dict[str, Variant]) -> str:
    """A row for each variant, two columns for each set: error in the sphere, in the rigid part."""
    lines = [
        "Squared error of the regularised half-map relative to the truth, in the sphere of the "
        "particle / in its rigid part; in brackets the ratio to RELION's own filter.",
        "",
        "| variant | " + " | ".join(steps) + " |",
        "|---|" + "---|" * len(steps),
    ]
    own = {name: relions_own(step) for name, step in steps.items()}
    for title, variant in variants.items():
        cells = []
        for name, step in steps.items():
            volume = variant(step)
            errors = [step.error(volume, mask) for mask in (step.sphere, step.rigid)]
            ratio = errors[0] / step.error(own[name], step.sphere)
            cells.append(f"{errors[0]:.4f} / {errors[1]:.4f} ({ratio:.2f})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
