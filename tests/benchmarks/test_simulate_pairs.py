from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import mrcfile
import numpy as np
import pytest

gemmi = pytest.importorskip("gemmi")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "simulate_pairs.py"
MAPS = ("half1", "half2", "truth", "mask")


def helix_bundle() -> gemmi.Structure:
    """Six poly-alanine helices along z on a hexagon, water and a hydrogen with them."""
    structure = gemmi.Structure()
    model = gemmi.Model(1)
    # Helix: radius, angle and rise of the atoms of a residue, in Å and degrees.
    atoms = {"N": ("N", 1.5, 0, 0), "CA": ("C", 2.3, 28, 0.9), "C": ("C", 1.7, 56, 2.0),
             "O": ("O", 2.0, 50, 3.2), "CB": ("C", 3.3, 10, 0.5)}  # fmt: skip
    for strand in range(6):
        turn = np.radians(60 * strand)
        chain = gemmi.Chain("ABCDEF"[strand])
        for number in range(24):
            residue = gemmi.Residue()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number + 1))
            for name, (element, radius, angle, rise) in atoms.items():
                phase = np.radians(100 * number + angle)
                x = 11 * np.cos(turn) + radius * np.cos(phase)
                y = 11 * np.sin(turn) + radius * np.sin(phase)
                add_atom(residue, name, element, (x, y, 1.5 * number + rise))
            chain.add_residue(residue)
        model.add_chain(chain)
    water = gemmi.Residue()
    water.name, water.seqid = "HOH", gemmi.SeqId("900")
    add_atom(water, "O", "O", (400.0, 0.0, 0.0))
    add_atom(model[0][0], "H", "H", (-400.0, 0.0, 0.0))
    model["F"].add_residue(water)
    structure.add_model(model)
    structure.setup_entities()
    return structure


def add_atom(residue: gemmi.Residue, name: str, element: str, position: tuple) -> None:
    atom = gemmi.Atom()
    atom.name, atom.element, atom.b_iso, atom.occ = name, gemmi.Element(element), 30.0, 1.0
    atom.pos = gemmi.Position(*position)
    residue.add_atom(atom)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with one model as gzipped PDB and as mmCIF, and a table of both."""
    folder = tmp_path_factory.mktemp("models")
    structure = helix_bundle()
    with gzip.open(folder / "soluble.pdb.gz", "wt") as file:
        file.write(structure.make_pdb_string())
    structure.make_mmcif_document().write_file(str(folder / "membrane.cif"))
    write_table(
        folder,
        "soluble.pdb.gz\tbundle\tsoluble\ttrain\n"
        "membrane.cif\tbundle\tmembrane\ttrain\n"
        "soluble.pdb.gz\tbundle\tsoluble\tvalidation\n",
    )
    return folder


def write_table(folder: Path, rows: str) -> None:
    (folder / "models.tsv").write_text("file\tfamily\tkind\tsplit\n" + rows)


def simulate(models: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, str(SCRIPT), "--models", str(models), "--table",
        str(models / "models.tsv"), "--out", str(out), "--voxel_size", "3", "--resolution", "8",
        "--max_box", "64", *options,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, cwd=out.parent
    )


@pytest.fixture(scope="module")
def entries(models, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "train"
    done = simulate(models, out, "--entries", "3")
    assert (done.returncode, "left out" in done.stderr) == (0, False), done.stderr
    return out


def test_an_entry_is_four_maps_and_its_record(entries) -> None:
    folders = sorted(entries.iterdir())
    assert {folder.name.split("_")[0] for folder in folders} == {"soluble", "membrane"}
    assert len(folders) == 3
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {
            "entry.json", *(f"{name}.mrc" for name in MAPS),
        }  # fmt: skip
        record = json.loads((folder / "entry.json").read_text())
        for name in MAPS:
            with mrcfile.open(folder / f"{name}.mrc") as mrc:
                assert mrc.data.shape == (record["box"],) * 3
                assert mrc.data.dtype == np.float32
                assert mrc.voxel_size.x == pytest.approx(3.0)
        assert record["family"] == "bundle"
        assert ("belt" in record) == (record["kind"] == "membrane")
        assert record["atoms"] == 6 * 24 * 5  # neither the water nor the hydrogen
        assert record["resolution"] == pytest.approx(8, rel=0.4)


def test_half_maps_and_truth_are_on_one_scale(entries) -> None:
    for folder in entries.iterdir():
        half, truth = (mrcfile.read(folder / f"{name}.mrc") for name in ("half1", "truth"))
        # At the lowest frequencies there is little but signal.
        near = np.s_[:2, :2, :2]
        slope = np.vdot(np.fft.fftn(truth)[near], np.fft.fftn(half)[near]).real
        slope /= (np.abs(np.fft.fftn(truth)[near]) ** 2).sum()
        assert slope == pytest.approx(1.0, abs=0.1)


def test_a_second_run_makes_only_what_is_missing(models, entries, tmp_path) -> None:
    out = tmp_path / "train"
    for folder in entries.iterdir():
        (out / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            (out / folder.name / file.name).write_bytes(file.read_bytes())
    first, second, *_ = sorted(out.iterdir())
    for file in first.iterdir():
        file.unlink()
    first.rmdir()
    (out / f".{first.name}.tmp").mkdir()  # what an interrupted run leaves
    untouched = (second / "half1.mrc").stat().st_mtime_ns
    assert simulate(models, out, "--entries", "3", "--j", "2").returncode == 0
    assert (second / "half1.mrc").stat().st_mtime_ns == untouched
    assert not list(out.glob(".*"))
    for name in MAPS:
        again, before = (mrcfile.read(d / first.name / f"{name}.mrc") for d in (out, entries))
        np.testing.assert_array_equal(again, before)


def test_the_splits_do_not_share_their_noise(models, entries, tmp_path) -> None:
    out = tmp_path / "validation"
    simulate(models, out, "--entries", "2", "--split", "validation")
    drawn = [json.loads(path.read_text()) for path in out.glob("*/entry.json")]
    drawn += [json.loads(path.read_text()) for path in entries.glob("*/entry.json")]
    assert len({record["measurement"]["b_factor"] for record in drawn}) == 5


def test_an_unreadable_model_and_one_without_atoms_are_left_out(models, tmp_path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "broken.cif").write_text("data_x\nloop_\n_atom_site.id\n_atom_site.x\n1\n")
    (folder / "empty.cif").write_text("data_nothing\n")
    (folder / "water.pdb").write_text(
        "HETATM    1  O   HOH A   1       1.000   1.000   1.000  1.00 10.00           O\nEND\n"
    )
    names = ("broken.cif", "empty.cif", "water.pdb", "missing.pdb")
    write_table(folder, "".join(f"{name}\tnone\tsoluble\ttrain\n" for name in names))
    done = simulate(folder, tmp_path / "out", "--entries", "4")
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if "left out" in line]
    assert len(sentences) == 4
    told = {name: next(s for s in sentences if f"{folder / name} " in s) for name in names}
    assert "cannot be read as a PDB or mmCIF file" in told["broken.cif"]
    assert "holds no model" in told["empty.cif"]
    assert "has 0 atoms that are not water or hydrogen" in told["water.pdb"]
    assert "cannot be read" in told["missing.pdb"]
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ("a.pdb\tf\tsoluble\tlearn\n", [], "a.pdb has learn, expected train, validation, test"),
        ("a.pdb\tf\tgas\ttrain\n", [], "a.pdb has gas, expected membrane, soluble, nucleic"),
        ("a.pdb\tf\tsoluble\ttest\n", [], "lists no model of split train"),
        ("", ["--voxel_size", "2", "1"], "--voxel_size takes one positive value or two in rising"),
        ("", ["--entries", "0"], "--entries must be 1 or more"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, rows, options, sentence) -> None:
    write_table(tmp_path, rows)
    done = simulate(tmp_path, tmp_path / "out", *options)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def table_of_models() -> list[dict[str, str]]:
    with (ROOT / "benchmarks" / "models.tsv").open(newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_no_family_is_in_two_splits() -> None:
    splits = defaultdict(set)
    for row in table_of_models():
        splits[row["family"]].add(row["split"])
    assert {family: found for family, found in splits.items() if len(found) > 1} == {}


def test_no_model_is_listed_twice() -> None:
    files = [row["file"] for row in table_of_models()]
    assert len(files) == len(set(files))


def test_every_split_has_all_kinds() -> None:
    kinds = defaultdict(set)
    for row in table_of_models():
        kinds[row["split"]].add(row["kind"])
    assert all(kinds[split] == {"membrane", "soluble", "nucleic"} for split in kinds)
    assert set(kinds) == {"train", "validation", "test"}


def test_what_is_reported_on_is_never_trained_on() -> None:
    """Cellulose synthase, beta-galactosidase, TRPV1, proteasome, microtubule."""
    split = {row["file"].partition(".")[0]: row["split"] for row in table_of_models()}
    assert {split[name] for name in ("4hg6", "5a1a", "3j5p", "3c91", "6cvn")} == {"test"}
