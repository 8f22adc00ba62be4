"""Simulate half-map pairs with known truth from atomic models, to train and test a denoiser.

    python benchmarks/simulate_pairs.py --models MODELS --split train --entries 300 --out pairs

Needs gemmi. Writes a folder for each entry,

    <out>/<model>_<number>/half1.mrc half2.mrc truth.mrc mask.mrc entry.json

all maps on one grid and scale. half1.mrc and half2.mrc are raw half-maps, like RELION's
`_unfil.mrc`, with nothing beyond the last shell that entry.json names (max_shell); truth.mrc is
what infinitely many particles would give, mask.mrc a soft mask of molecule and belt. entry.json
holds everything that was drawn. Folders appear when they are complete, and those that are there
are not made again, so an interrupted run can be repeated.

models.tsv lists the models: file, protein family, kind, split, and the public repository (GitHub,
path, commit) that has the file, there not gzipped. No family is in two splits.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import gemmi
import numpy as np
from atomic_models import membrane_slab, read_molecule
from tqdm import tqdm

from plugin_core.simulation.belt import Slab
from plugin_core.simulation.half_maps import SimulatedPair
from plugin_core.simulation.molecule import Molecule
from plugin_core.simulation.random_pair import PairRanges, random_pair
from relion_external.errors import UserError
from relion_external.volumes import write_map

TABLE = Path(__file__).with_name("models.tsv")
KINDS = ("membrane", "soluble", "nucleic")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ModelRow:
    """One line of the table of models."""

    file: str
    family: str
    kind: str
    split: str
    description: str = ""

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return self.file.partition(".")[0]


@dataclass(frozen=True)
class Entry:
    """One pair to be made."""

    row: ModelRow
    models: Path
    folder: Path
    seed: tuple[int, int, int]
    ranges: PairRanges


def main() -> int:
    args = parse_arguments()
    try:
        rows = [row for row in read_table(args.table) if row.split == args.split]
        if args.only:
            rows = [row for row in rows if row.name in args.only]
        if not rows:
            raise UserError(f"{args.table} lists no model of split {args.split} that was asked for")
        args.out.mkdir(parents=True, exist_ok=True)
        left_out = run(plan(rows, args), args.j)
    except UserError as error:
        print(f"simulate_pairs: {error}", file=sys.stderr)
        return 1
    for sentence in left_out:
        print(f"simulate_pairs: left out: {sentence}", file=sys.stderr)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of PDB and mmCIF files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the entries")
    parser.add_argument("--table", type=Path, default=TABLE, help="the models (%(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--only", nargs="+", metavar="MODEL", help="only these of the split")
    parser.add_argument("--entries", type=int, default=300, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default %(default)s")
    ranges = PairRanges()
    for name in ("voxel_size", "resolution"):
        low, high = getattr(ranges, name)
        parser.add_argument(
            f"--{name}", type=float, nargs="+", metavar="ANGSTROM", default=[low, high],
            help=f"one value, or the ends of a range (default {low:g} {high:g})",
        )  # fmt: skip
    parser.add_argument("--max_box", type=int, default=ranges.max_box, help="default %(default)s")
    parser.add_argument("--j", type=int, default=1, help="processes (default %(default)s)")
    args = parser.parse_args()
    for name in ("voxel_size", "resolution"):
        values = getattr(args, name)
        if len(values) > 2 or min(values) <= 0 or values[0] > values[-1]:
            parser.error(f"--{name} takes one positive value or two in rising order")
    for name in ("entries", "max_box", "j"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    return args


def read_table(path: Path) -> list[ModelRow]:
    """Read the table of models; UserError if a column or a word in it is not as expected."""
    try:
        with path.open(newline="") as lines:
            reader = csv.DictReader(lines, delimiter="\t")
            missing = {"file", "family", "kind", "split"} - set(reader.fieldnames or ())
            if missing:
                raise UserError(f"{path} lacks the columns {', '.join(sorted(missing))}")
            rows = [
                ModelRow(
                    row["file"], row["family"], row["kind"], row["split"],
                    row.get("description") or "",
                )
                for row in reader
            ]  # fmt: skip
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    for row in rows:
        for value, known in ((row.kind, KINDS), (row.split, SPLITS)):
            if value not in known:
                raise UserError(f"{path}: {row.file} has {value}, expected {', '.join(known)}")
    return rows


def plan(rows: list[ModelRow], args: argparse.Namespace) -> list[Entry]:
    """The entries, in an order that visits each model once before any again."""
    ranges = PairRanges(
        voxel_size=(args.voxel_size[0], args.voxel_size[-1]),
        resolution=(args.resolution[0], args.resolution[-1]),
        max_box=args.max_box,
    )
    order = np.random.default_rng(args.seed).permutation(len(rows))
    entries = []
    for number in range(args.entries):
        row = rows[order[number % len(rows)]]
        folder = args.out / f"{row.name}_{args.seed:02d}{number // len(rows):02d}"
        # The splits draw apart, so that none has another's noise.
        seed = (args.seed, number, SPLITS.index(row.split))
        entries.append(Entry(row, args.models, folder, seed, ranges))
    return entries


def run(entries: list[Entry], processes: int) -> list[str]:
    """Make the entries that are missing; returns why some could not be made."""
    missing = [entry for entry in entries if not entry.folder.exists()]
    bar = {"total": len(entries), "initial": len(entries) - len(missing), "unit": "pair"}
    if processes == 1:
        return [why for why in tqdm(map(make_or_explain, missing), **bar) if why]
    # One thread each: as many processes as cores leave nothing for more.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.imap(make_or_explain, missing)
        return [why for why in tqdm(done, **bar) if why]


def make_or_explain(entry: Entry) -> str | None:
    """Make an entry; the sentence that says why if its model does not allow it."""
    try:
        make_entry(entry)
    except (UserError, ValueError) as error:
        return f"{entry.folder.name}: {error}"
    return None


def make_entry(entry: Entry) -> None:
    """Simulate one pair and write its folder, which appears when it is complete."""
    ranges, row = entry.ranges, entry.row
    # A cube that holds the sphere with the smallest margin, off-centre shift included.
    largest = ranges.max_box * ranges.voxel_size[1] / 2 / 1.12 - 8
    molecule, slab, is_assembly = _load(entry.models / row.file, row.kind == "membrane", largest)
    rng = np.random.default_rng(entry.seed)
    pair, voxel_size, drawn = random_pair(molecule, slab, ranges, rng)
    record = {
        "model": row.file,
        "family": row.family,
        "kind": row.kind,
        "split": row.split,
        "seed": entry.seed,
        "assembly": is_assembly,
        "atoms": len(molecule),
        **drawn,
        "max_shell": pair.max_shell,
        "resolution": pair.resolution_angstrom,
        "fsc": pair.fsc.round(4).tolist(),
        "ranges": asdict(ranges),
        "gemmi": gemmi.__version__,
    }
    write_entry(entry.folder, pair, voxel_size, record)


def write_entry(folder: Path, pair: SimulatedPair, voxel_size: float, record: dict) -> None:
    """Write the maps and the record under another name, then rename the folder."""
    unfinished = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    maps = {
        "half1": pair.half_maps[0], "half2": pair.half_maps[1],
        "truth": pair.truth, "mask": pair.mask,
    }  # fmt: skip
    for name, volume in maps.items():
        write_map(unfinished / f"{name}.mrc", volume, voxel_size, f"simulated: {name}")
    (unfinished / "entry.json").write_text(json.dumps(record, indent=1))
    unfinished.rename(folder)


@lru_cache(maxsize=2)
def _load(
    path: Path, in_membrane: bool, largest_radius: float
) -> tuple[Molecule, Slab | None, bool]:
    model, molecule, is_assembly = read_molecule(path, largest_radius)
    return molecule, membrane_slab(model) if in_membrane else None, is_assembly


if __name__ == "__main__":
    sys.exit(main())
