"""The External job on particles: a whole auto-refinement by RELION with the hook."""

from __future__ import annotations

import argparse
import math
import shutil
from pathlib import Path

from relion_external import hook_variable, job_folder, star, system
from relion_external.cli import command_parser
from relion_external.errors import UserError
from relion_external.history import draw_history, forget_calls_after, read_history
from relion_external.job_folder import NodeType, write_output_nodes
from relion_external.mpi import mpirun_command
from relion_external.outputs import history_path
from relion_external.processes import run_to_the_end
from relion_external.refine_command import (
    Options,
    as_words,
    continue_options,
    hook_is_forgotten,
    parse_words,
    refine_options,
    refuse_other_options,
)
from relion_external.refine_files import (
    final_file,
    final_map,
    iteration_file,
    last_whole_iteration,
)
from relion_external.refine_progress import Progress

PROGRAM = "relion_refine_mpi"


def refine(args: argparse.Namespace) -> None:
    """Refine `args.in_parts` from `args.in_3dref`, or continue the refinement in the job's folder.

    Raises
    ------
    UserError
        If something is missing, RELION fails, or RELION does not call the hook.
    """
    _check(args)
    version = system.relion_version()
    root = args.o / "run"
    options = refine_options(args, version)
    if final_map(root).exists():
        refuse_other_options(options, _started_with(root, options))
        print(f" relion-external: the refinement in {args.o} is finished already", flush=True)
    else:
        _run_relion(args, root, options, version)
    history = history_path(root)
    pdf, png = history.with_suffix(".pdf"), history.with_suffix(".png")
    draw_history(read_history(history), str(root), pdf, png)
    write_output_nodes(args.o, _nodes(root, version) | {pdf: job_folder.REPORT})


def _check(args: argparse.Namespace) -> None:
    launcher = args.mpirun.split(",")[0]
    missing = system.missing_programs(PROGRAM, launcher)
    if missing:
        raise UserError(f"{' and '.join(missing)} not found on the PATH")
    if args.mpi < 3 or args.mpi % 2 == 0:
        raise UserError(
            f"--mpi {args.mpi}: a refinement in two half-sets takes 3, 5, ... processes"
        )
    if args.particle_diameter is None:
        raise UserError("--particle_diameter is missing: give it in Å as a label")
    for name in ("in_parts", "in_3dref", "in_mask", "mask"):
        path = getattr(args, name)
        if path is None and name in ("in_parts", "in_3dref"):
            raise UserError(f"--{name} is missing: a refinement takes particles and a reference")
        if path is not None and not path.exists():
            raise UserError(f"--{name} {path} does not exist")


def _run_relion(
    args: argparse.Namespace, root: Path, options: Options, version: str | None
) -> None:
    start = last_whole_iteration(root) or 0
    if start:
        words = _words_to_continue(root, start, options, version)
        log_path = root.with_name(f"relion_refine_from_it{start:03d}.log")
        what = f"continuing after iteration {start}"
    else:
        words = as_words(options | {"o": str(root), "external_reconstruct": ""})
        log_path = root.with_name("relion_refine.log")
        what = f"refining {args.in_parts}"
        for stale in root.parent.glob(f"{root.name}_it*"):  # of an attempt that got nowhere
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    forget_calls_after(history_path(root), start)
    print(f" relion-external: {what}; RELION's own output is in {log_path}", flush=True)
    progress = Progress(root, log_path, start)
    run_to_the_end(
        [*mpirun_command(args.mpi, args.mpirun.split(",")), PROGRAM, *words],
        working_folder=Path.cwd(),
        log_path=log_path,
        time_limit_s=math.inf,  # it may take days, and is ended by RELION or the batch system
        environment=hook_variable.environment(hook_variable.command(_hook_words(args))),
        on_wait=progress.look,
    )
    progress.finish()


def _words_to_continue(root: Path, start: int, options: Options, version: str | None) -> list[str]:
    words = continue_options(options, _started_with(root, options))
    if hook_is_forgotten(version):
        words["external_reconstruct"] = ""
    optimiser = str(iteration_file(root, start, "optimiser"))
    return as_words({"continue": optimiser, "o": str(root)} | words)


def _started_with(root: Path, options: Options) -> Options:
    """What the refinement was started with; `options` if that file has been cleaned away."""
    return parse_words(star.command_line(iteration_file(root, 0, "optimiser"))) or options


def _hook_words(args: argparse.Namespace) -> list[str]:
    """Options of the hook that differ from its defaults, as words of its command line.

    Threads are left to the hook, which shares the cores out to the half-sets; the particle diameter
    it has from RELION.
    """
    parser = command_parser("reconstruct")
    words = []
    for name, default in vars(parser.parse_args(["x.star"])).items():
        value = getattr(args, name, default)
        if value != default and name not in ("j", "particle_diameter", "run"):
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def _nodes(root: Path, version: str | None) -> dict[Path, NodeType]:
    """Outputs of a refinement that has converged, or else of its last iteration."""
    relion_4 = bool(version and version.startswith("4."))
    particles = job_folder.PARTICLES_RELION_4 if relion_4 else job_folder.PARTICLES
    optimiser = job_folder.OPTIMISER_RELION_4 if relion_4 else job_folder.OPTIMISER
    if not final_map(root).exists():
        last = last_whole_iteration(root) or 0
        return {
            iteration_file(root, last, "data"): particles,
            iteration_file(root, last, "optimiser"): optimiser,
        }
    nodes = {
        final_map(root): job_folder.MAP,
        root.with_name(f"{root.name}_half1_class001_unfil.mrc"): job_folder.HALF_MAP,
        final_file(root, "data"): particles,
        final_file(root, "optimiser"): optimiser,
    }
    beside = (
        (job_folder.MAP, "nonuniform"),
        (job_folder.MAP, "denoised"),
        (job_folder.CUTOFF_MAP, "cutoff"),
    )
    for kind, suffix in beside:
        pattern = f"{root.name}_it???_class001_external_reconstruct_{suffix}.mrc"
        nodes |= dict.fromkeys(sorted(root.parent.glob(pattern))[-1:], kind)
    return nodes
