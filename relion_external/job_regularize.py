"""The External job on two raw half-maps: what `relion-external regularize` does, for RELION."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from relion_external import job_folder
from relion_external.errors import UserError
from relion_external.half_map_pair import find_partner, read_external_map
from relion_external.job_folder import NodeType, write_output_nodes
from relion_external.outputs import header_label
from relion_external.standalone import regularize_half_maps
from relion_external.standalone_outputs import report_paths
from relion_external.volumes import write_map

RAW_HALVES = ("half1_class001_unfil.mrc", "half2_class001_unfil.mrc")
"""Names of the raw half-maps that are handed on; every version's PostProcess accepts them."""


def regularize(args: argparse.Namespace) -> None:
    """Regularise the half-map at `args.in_3dref` and its partner, and hand on the raw ones.

    Raises
    ------
    UserError, LoggedError
        If an input cannot be used, or an output cannot be written.
    """
    halves = _half_maps(args)
    prefix = args.o / "run"
    first, second = [*halves, None][:2]
    task = {"i": first, "i2": second, "o": prefix, "mask": _mask(args)}
    nodes = {prefix.with_name(f"{prefix.name}_{name}.mrc"): kind for name, kind in _MAPS.items()}
    nodes[report_paths(prefix)[0]] = job_folder.REPORT
    _refuse_own_outputs([*halves, *filter(None, [task["mask"]])], nodes)
    for stale in nodes:  # not every input makes every output
        stale.unlink(missing_ok=True)
    regularize_half_maps(argparse.Namespace(**vars(args) | task))
    if second is not None:
        for path, name in zip(halves, RAW_HALVES, strict=True):
            hand_on(path, args.o / name)
        nodes[args.o / RAW_HALVES[0]] = job_folder.HALF_MAP  # half 1 stands for both, as in RELION
    write_output_nodes(args.o, nodes)


def hand_on(source: Path, target: Path) -> None:
    """Put a raw half-map into the job's folder: a link, or a copy if it has to be unpacked.

    Nothing happens if it is there already.
    """
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)  # never the half-map itself
    if source.suffix == ".gz":
        unpacked = read_external_map(source)
        label = header_label("raw half-map, as it was")
        write_map(target, unpacked.volume, unpacked.voxel_size, label, unpacked.placement)
    else:
        target.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))


_MAPS: dict[str, NodeType] = {
    "regularized": job_folder.MAP,
    "cutoff": job_folder.CUTOFF_MAP,
    "sharpened": job_folder.SHARPENED_MAP,
    "mask": job_folder.MASK,
}
"""Outputs that RELION is told of. The regularised half-maps are none: nothing may measure an FSC
from them."""


def _half_maps(args: argparse.Namespace) -> list[Path]:
    """The half-maps, half 1 first."""
    if args.in_3dref is None:
        raise UserError("--in_3dref is missing: give a raw half-map")
    if args.half2 is not None:
        return [args.in_3dref, args.half2]
    partner = find_partner(args.in_3dref)
    # Either half may be given; their names differ by 1 and 2 or A and B.
    return [args.in_3dref] if partner is None else sorted((args.in_3dref, partner))


def _refuse_own_outputs(inputs: list[Path], outputs: Iterable[Path]) -> None:
    """Refuse what an earlier run of this job wrote and this one will replace."""
    replaced = {path.resolve() for path in outputs}
    for path in inputs:
        if path.resolve() in replaced:
            raise UserError(
                f"{path} is an output of this job itself, which would be replaced before it is "
                "read; give a copy of it that lies elsewhere"
            )


def _mask(args: argparse.Namespace) -> Path | None:
    if args.in_mask and args.mask:
        raise UserError("both --in_mask and --mask are given; here they are the same, give one")
    return args.in_mask or args.mask
