"""Every wrong input ends in one sentence on stderr and in the log, status 1, and no result."""

from __future__ import annotations

import gc
import os
import re
import resource
import shutil
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from plugin_core.backend import Device
from relion_external import call_setup, devices
from relion_external.errors import UserError

OTHER = "run_it003_half2_class001_external_reconstruct.mrc"


def edit(star, old, new):
    """Replace the one place where `old`, a regular expression, matches in a STAR file."""
    text, count = re.subn(old, new, star.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert count == 1
    star.write_text(text)


def array(star, part):
    return star.with_name(f"{star.stem}_{part}.mrc")


def set_label(label, value):
    return lambda star: edit(star, rf"^_{label}\s+\S+", f"_{label} {value}")


def drop_label(label):
    return lambda star: edit(star, rf"^_{label}\s[^\n]*\n", "")


def set_voxel(part, value):
    def change(star):
        with mrcfile.mmap(array(star, part), mode="r+") as mrc:
            mrc.data[1, 2, 3] = value

    return change


def clear(part):
    def change(star):
        with mrcfile.mmap(array(star, part), mode="r+") as mrc:
            mrc.data[:] = 0

    return change


def write_mask(volume):
    def change(star):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mrcfile's, about NaN
            mrcfile.write("mask.mrc", volume.astype(np.float32))
        return ("--mask", "mask.mrc")

    return change


def option(*words):
    return lambda star: words


STAR = r"Refine3D/job001/run_it003_half1_class001_external_reconstruct.star"
STEM = STAR.removesuffix(".star")
TABLE = rf"{STAR}: data_external_reconstruct_tau2 must hold _rlnReferenceTau2 and "

CASES = {
    # the STAR file
    "no STAR file": (
        lambda star: star.unlink(),
        rf"{STAR} does not exist \(working directory: /.*\)",
    ),
    "garbage": (
        lambda star: star.write_bytes(bytes(range(256)) * 9),
        rf"{STAR} holds no data block; expected a STAR file written by RELION",
    ),
    "ragged table": (
        lambda star: edit(star, r"(\n2\t)", r"\1 7 7 7 7 7 "),
        rf"{STAR} cannot be understood as a STAR file: .*",
    ),
    "another STAR file": (
        lambda star: star.write_text("\ndata_optics\n\n_rlnVoltage 300\n"),
        rf"{STAR} lacks the block data_external_reconstruct_general: not a hook call of RELION",
    ),
    "no box size": (
        drop_label("rlnOriginalImageSize"),
        rf"{STAR} lacks _rlnOriginalImageSize, which RELION writes into such a file",
    ),
    "no result": (
        drop_label("rlnExtReconsResult"),
        rf"{STAR} lacks _rlnExtReconsResult, which RELION writes into such a file",
    ),
    "a word for a number": (
        set_label("rlnPaddingFactor", "two"),
        rf"{STAR}: _rlnPaddingFactor is 'two', expected a number",
    ),
    "not a number for a number": (
        set_label("rlnPaddingFactor", "nan"),
        rf"{STAR}: _rlnPaddingFactor is 'nan', expected a number",
    ),
    "2-D reference": (
        set_label("rlnReferenceDimensionality", 2),
        rf"{STAR} is about a 2-D reference; only 3-D maps can be regularised: "
        "run Class2D without --external_reconstruct",
    ),
    "no spectra": (
        lambda star: edit(star, r"data_external_reconstruct_tau2.*", ""),
        rf"{STAR} lacks the block data_external_reconstruct_tau2: relion_refine writes it, "
        "relion_reconstruct --external_reconstruct does not",
    ),
    "tau2 too short": (
        lambda star: edit(star, r"^8\t[^\n]*\n", ""),
        rf"{TABLE}_rlnGoldStandardFsc for 9 shells",
    ),
    "no tau2": (
        lambda star: edit(star, "_rlnReferenceTau2", "_rlnReferenceSigma2"),
        rf"{TABLE}_rlnGoldStandardFsc for 9 shells",
    ),
    "tau2 is NaN": (
        lambda star: edit(star, r"^(2\t)\S+", r"\1nan"),
        rf"{STAR}: data_external_reconstruct_tau2 holds values that are not finite numbers",
    ),
    "tau2 is NaN as C++ writes it": (
        lambda star: edit(star, r"^(2\t)\S+", r"\1-nan"),
        rf"{STAR}: data_external_reconstruct_tau2 holds values that are not finite numbers",
    ),
    "tau2 is a word": (
        lambda star: edit(star, r"^(2\t)\S+", r"\1much"),
        rf"{STAR}: data_external_reconstruct_tau2 holds values that are not finite numbers",
    ),
    # geometry
    "STAR file asks for another padding": (
        set_label("rlnPaddingFactor", 1),
        rf"{STEM}_\w+.mrc has 32 x 32 x 17 values, but the STAR file asks for 16 x 16 x 9 "
        r"\(z, y, x\)",
    ),
    "odd padded size": (
        set_label("rlnPaddingFactor", 1.0625),
        rf"{STAR}: box 16 and padding 1.0625 give an odd padded size",
    ),
    "more shells than the box has": (
        set_label("rlnCurrentImageSize", 20),
        rf"{STAR}: the current image size / 2 = 10 is not in 1..box / 2",
    ),
    "no shells": (
        set_label("rlnCurrentImageSize", 0),
        rf"{STAR}: the current image size / 2 = 0 is not in 1..box / 2",
    ),
    "unknown voxel size": (
        drop_label("rlnPixelSize"),
        rf"the voxel size is unknown: {STAR} does not tell it, and "
        r"Refine3D/job001/run_it002_half1_model.star does not exist; give --angpix",
    ),
    "unknown particle diameter": (
        drop_label("rlnParticleDiameter"),
        rf"the particle diameter is unknown: neither {STAR} nor "
        r"Refine3D/job001/run_it002_optimiser.star tells it; give --particle_diameter",
    ),
    # the arrays
    "no weights": (
        lambda star: array(star, "weight").unlink(),
        rf"{STEM}_weight.mrc does not exist \(working directory: /.*\)",
    ),
    "no data": (
        lambda star: array(star, "data_imag").unlink(),
        rf"{STEM}_data_imag.mrc does not exist \(working directory: /.*\)",
    ),
    "truncated data": (
        lambda star: os.truncate(array(star, "data_real"), 50_000),
        rf"{STEM}_data_real.mrc is truncated: 50000 bytes, 70656 expected from its header",
    ),
    "text for an array": (
        lambda star: array(star, "weight").write_text("weights " * 1000),
        rf"{STEM}_weight.mrc is not an MRC file",
    ),
    "16-bit weights": (
        lambda star: mrcfile.write(
            array(star, "weight"), np.zeros((32, 32, 17), np.int16), overwrite=True
        ),
        rf"{STEM}_weight.mrc holds int16 values, expected 32-bit reals \(MRC mode 2\)",
    ),
    "NaN weight": (
        set_voxel("weight", np.nan),
        rf"{STEM}_weight.mrc holds 1 value that is not finite, of 17408",
    ),
    "negative weight": (
        set_voxel("weight", -2.5),
        rf"{STEM}_weight.mrc: the weights hold negative values, down to -2\.5",
    ),
    "no weight at all": (
        clear("weight"),
        rf"{STEM}_weight.mrc: the weights are zero everywhere: no particle contributed",
    ),
    "NaN data": (
        set_voxel("data_real", np.nan),
        rf"{STEM}_data_real.mrc holds 1 value that is not finite, of 17408",
    ),
    "infinite data": (
        set_voxel("data_imag", np.inf),
        rf"{STEM}_data_imag.mrc holds 1 value that is not finite, of 17408",
    ),
    # the options
    "no such mask": (
        option("--mask", "missing.mrc"),
        r"missing.mrc does not exist \(working directory: /.*\)",
    ),
    "mask of another box": (
        write_mask(np.ones((12, 12, 12))),
        r"mask.mrc has 12 x 12 x 12 values, .* 16 x 16 x 16 \(z, y, x\)",
    ),
    "mask beyond one": (
        write_mask(np.full((16, 16, 16), 1.5)),
        "mask.mrc has values from 1.5 to 1.5; expected a mask from 0 to 1",
    ),
    "mask below zero": (
        write_mask(np.linspace(-0.5, 1, 4096).reshape(16, 16, 16)),
        "mask.mrc has values from -0.5 to 1; expected a mask from 0 to 1",
    ),
    "empty mask": (
        write_mask(np.zeros((16, 16, 16))),
        "mask.mrc has values from 0 to 0; expected a mask from 0 to 1",
    ),
    "mask of NaN": (
        write_mask(np.full((16, 16, 16), np.nan)),
        "mask.mrc holds 4096 values that are not finite, of 4096",
    ),
    "no such device": (
        option("--gpu", "first"),
        "--gpu takes auto, cpu or a device number, not 'first'",
    ),
    # where results go
    "no folder for the result": (
        set_label("rlnExtReconsResult", "nowhere/result.mrc"),
        r"nowhere/result\w*.mrc cannot be written: No such file or directory",
    ),
    "a folder in place of the result": (
        lambda star: star.with_suffix(".mrc").mkdir(),
        rf"{STEM}.mrc cannot be replaced: Is a directory",
    ),
    "the history is a folder": (
        lambda star: star.with_name("run_external.jsonl").mkdir(),
        r"the history Refine3D/job001/run_external.jsonl cannot be written: Is a directory",
    ),
}


@pytest.fixture
def refused(project, reconstruct):
    """A call that must be refused: checks all that every refusal has in common."""

    other = project.write(OTHER, project.truth)
    untouched = other.read_bytes()

    def run(star, *options):
        answered = reconstruct(star, *options)
        assert answered.status == 1
        assert answered.stdout == ""
        assert answered.stderr.startswith("relion-external: error: ")
        assert answered.stderr.count("\n") == 1
        sentence = answered.stderr.removeprefix("relion-external: error: ").rstrip("\n")
        assert f" ERROR {sentence}" in answered.log
        assert not answered.result.is_file()
        assert list(project.folder.glob("*.tmp")) == []
        assert other.read_bytes() == untouched
        return sentence

    return run


@pytest.mark.parametrize("case", CASES)
def test_bad_input(project, refused, case):
    prepare, message = CASES[case]
    if not case.startswith("unknown"):
        project.previous_iteration()
    else:  # RELION's other files are there, but do not tell
        (project.folder / "run_it002_optimiser.star").write_text("data_optimiser\n\n_rlnA 1\n")
    star = project.call()
    found = prepare(star)
    options = found if isinstance(found, tuple) else ()
    assert re.fullmatch(message, refused(star, *options))


@pytest.mark.parametrize("label", ["rlnDoGradientRefine", "rlnDoStochasticGradientDescent"])
def test_gradient_refinement(project, refused, label):
    project.previous_iteration(optimiser=f"_{label} 1\n")
    star = project.call("run_it003_class001")
    star.with_suffix(".mrc").write_text("an earlier answer")
    assert refused(star) == (
        "Refine3D/job001/run_it002_optimiser.star says that RELION refines by gradient descent "
        "(InitialModel, VDAM or SGD), where the arrays hold a gradient, not a map: "
        "run it without --external_reconstruct"
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("optimiser", "garbage", "holds no data block; expected a STAR file written by RELION"),
        (
            "optimiser",
            "data_a\n\n_rlnParticleDiameter wide\n",
            "_rlnParticleDiameter is 'wide', expected a number",
        ),
        (
            "half1_model",
            "data_a\n\n_rlnDataDimensionality two\n",
            "_rlnDataDimensionality is 'two', expected a number",
        ),
    ],
)
def test_damaged_files_of_the_previous_iteration(project, refused, file, content, message):
    project.previous_iteration()
    (project.folder / f"run_it002_{file}.star").write_text(content)
    found = refused(project.call(particle_diameter=None))
    assert found.startswith(f"Refine3D/job001/run_it002_{file}.star")
    assert found.endswith(message)


def test_a_mask_of_a_body(project, refused):
    project.previous_iteration()
    assert refused(project.call("run_it003_half1_body001"), "--mask", "mask.mrc") == (
        "--mask mask.mrc lies in the frame of the whole particle, but RELION centres the map of a "
        "body on that body: leave --mask out in multi-body refinement"
    )


def test_wrong_weights_of_the_other_half_are_told_as_its_own(project, refused):
    project.previous_iteration()
    star, other = project.call(), project.call("run_it003_half2_class001", seed=2)
    set_voxel("weight", np.nan)(other)
    assert refused(star, "--risk", "cross-half") == (
        "Refine3D/job001/run_it003_half2_class001_external_reconstruct_weight.mrc holds 1 value "
        "that is not finite, of 17408"
    )


def test_a_file_that_is_no_call_gets_no_log(project, reconstruct):
    star = project.folder / "run_it003_model.star"
    answered = reconstruct(star)
    assert answered.status == 1
    assert answered.stderr == (
        "relion-external: error: Refine3D/job001/run_it003_model.star is not named as RELION names "
        "a hook call; expected <root>_it<NNN>[_half<H>]_class<MMM>_external_reconstruct.star "
        "(or _body<MMM>)\n"
    )
    assert list(project.folder.iterdir()) == []


def test_a_file_where_the_folder_should_be(project, reconstruct):
    star = project.call()
    shutil.rmtree(project.folder)
    project.folder.write_text("not a folder")
    answered = reconstruct(star)
    assert answered.status == 1
    assert answered.stderr == (
        f"relion-external: error: the log {STEM}.log cannot be written: Not a directory\n"
    )


@pytest.fixture
def limit_file_size():
    """Return a function that sets how many bytes a file may have, after which a write fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    gc.collect()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# mrcfile leaves its file open when the last write fails; nobody but the tests' filter minds.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["nonuniform", "uniform"])
def test_no_space_for_the_maps(project, refused, limit_file_size, method):
    project.previous_iteration()
    star = project.call()
    limit_file_size(15_000)
    assert re.fullmatch(
        rf"{STEM}\w*\.mrc cannot be written: File too large", refused(star, "--method", method)
    )


@pytest.mark.parametrize(
    ("what", "file"), [("history", "run_external.jsonl"), ("log", f"{Path(STEM).name}.log")]
)
def test_no_space_for_what_is_said(project, reconstruct, what, file):
    project.previous_iteration()
    star = project.call()
    (project.folder / file).symlink_to("/dev/full")
    answered = reconstruct(star)
    assert answered.status == 1
    assert re.fullmatch(
        rf"relion-external: error: the {what} \S+/{file} cannot be written: "
        r"No space left on device\n",
        answered.stderr,
    )
    assert not answered.result.exists()


def test_a_gpu_that_is_not_there(project, refused, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    project.previous_iteration()
    assert refused(project.call(), "--gpu", 0) == (
        "--gpu 0 was asked for, but there is no such GPU: CuPy is not installed"
    )


@pytest.fixture
def fake_gpu(monkeypatch):
    """A GPU with 1 MB free; its arrays are NumPy's."""
    monkeypatch.setattr(devices, "select_device", lambda request: Device("GPU 0", "made up"))
    monkeypatch.setattr(Device, "free_bytes", lambda device: 1_000_000)


@pytest.mark.usefixtures("fake_gpu")
def test_a_gpu_with_too_little_memory_is_refused_before_work_starts(project, refused):
    project.previous_iteration()
    assert re.fullmatch(
        r"GPU 0 has too little memory for box 16: about 0\.\d GB needed, 0\.0 GB free; "
        r"--gpu 0,1 gives each half-set a GPU of its own, --gpu cpu uses the host's memory",
        refused(project.call(), "--gpu", 0),
    )


def test_running_out_of_memory_is_put_into_words(project, refused, monkeypatch):
    def fail(*arguments, **options):
        raise type("OutOfMemoryError", (Exception,), {})("1024 bytes")

    monkeypatch.setattr("relion_external.hook.regularize", fail)
    project.previous_iteration()
    assert re.fullmatch(
        r"CPU has too little memory for box 16: about 0\.\d GB needed; the allocation failed: "
        r"1024 bytes",
        refused(project.call()),
    )


def raised(name: str, module: str, words: str):
    """A function that raises one of CuPy's errors after the search has begun."""
    kind = type(name, (RuntimeError,), {"__module__": module})

    def fail(*arguments):
        raise kind(words)

    return fail


@pytest.mark.parametrize(
    ("name", "module", "words", "told"),
    [
        (
            "OutOfMemoryError",
            "cupy.cuda.memory",
            "Out of memory allocating 1,024 bytes",
            r"CPU has too little memory for box 16: about 0\.\d GB needed; the allocation failed: "
            "Out of memory allocating 1,024 bytes",
        ),
        (
            "CUDARuntimeError",
            "cupy_backends.cuda.api.runtime",
            "cudaErrorDevicesUnavailable: device is busy or unavailable",
            "CPU failed during the work: CUDARuntimeError: cudaErrorDevicesUnavailable: device is "
            "busy or unavailable; run again, or with --gpu cpu",
        ),
    ],
)
def test_a_gpu_that_fails_during_the_search(
    project, refused, monkeypatch, name, module, words, told
):
    monkeypatch.setattr(
        "plugin_core.nonuniform.risks.SplitNoiseRisk.difference", raised(name, module, words)
    )
    project.previous_iteration()
    assert re.fullmatch(told, refused(project.call()))
    assert not list(project.folder.glob("*_cutoff.mrc"))


def test_too_little_memory_of_the_host_is_warned_of(project, reconstruct, monkeypatch):
    monkeypatch.setattr("relion_external.call_memory.available_memory", lambda: 10_000_000)
    project.previous_iteration()
    answered = reconstruct(project.call())
    assert answered.status == 0
    assert answered.stderr == (
        "relion-external: warning: about 0.1 GB of memory are needed and 0.0 GB are available: the "
        "system may end this program without another word\n"
    )


def test_no_output_is_left_where_the_last_one_fails(project, refused, monkeypatch):
    real = call_setup.write_map

    def write_map(path, *arguments):
        if path.name.endswith("reconstruct.mrc"):
            raise UserError(f"{path} cannot be written: disk failed")
        real(path, *arguments)

    monkeypatch.setattr(call_setup, "write_map", write_map)
    project.previous_iteration()
    assert refused(project.call()).endswith("cannot be written: disk failed")
    assert not list(project.folder.glob("*half1*_cutoff.mrc"))


def test_an_error_of_the_program_itself_names_the_log(project, reconstruct, monkeypatch):
    monkeypatch.setattr("relion_external.hook.regularize", lambda *arguments: 1 // 0)
    project.previous_iteration()
    answered = reconstruct(project.call())
    assert answered.status == 1
    assert answered.stderr == (
        "relion-external: unexpected error: ZeroDivisionError: integer division or modulo by "
        f"zero; the traceback is in {STEM}.log\n"
    )
    assert "Traceback (most recent call last)" in answered.log
    assert not answered.result.exists()


def test_the_traceback_is_printed_on_request(project, reconstruct):
    project.previous_iteration()
    answered = reconstruct(project.call(), "--debug", "--mask", "missing.mrc")
    assert answered.stderr.startswith("Traceback (most recent call last)")
    assert answered.stderr.splitlines()[-1].startswith("relion-external: error: missing.mrc does")
