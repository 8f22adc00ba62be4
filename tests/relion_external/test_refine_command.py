"""The command line of the External job's refinement."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_external.cli import command_parser
from relion_external.errors import UserError
from relion_external.refine_command import (
    Options,
    as_words,
    continue_options,
    hook_is_forgotten,
    parse_list,
    parse_words,
    refine_options,
    refuse_other_options,
)


def options_of(*labels: str, version: str | None = "5.0.1") -> Options:
    inputs = ["--o", "External/job001/", "--in_parts", "p.star", "--in_3dref", "r.mrc"]
    words = [*inputs, "--particle_diameter", "180", *labels]
    return refine_options(command_parser("job").parse_args(words), version)


def test_the_gui_s_defaults() -> None:
    options = options_of()
    assert options["i"] == "p.star"
    assert options["ref"] == "r.mrc"
    assert options["particle_diameter"] == "180"
    assert options["ini_high"] == "60"
    for flag in ("auto_refine", "split_random_halves", "ctf", "zero_mask", "firstiter_cc"):
        assert options[flag] == ""
    assert not {"gpu", "solvent_mask", "skip_gridding"} & options.keys()


def test_labels_become_options() -> None:
    labels = ["--in_mask", "m.mrc", "--sym", "D7", "--pad", "1", "--refine_gpu", "0:1", "--j", "8"]
    options = options_of(*labels, "--ini_high", "35.5", "--healpix_order", "3")
    expected = {"solvent_mask": "m.mrc", "sym": "D7", "pad": "1", "gpu": "0:1", "j": "8"}
    expected |= {"ini_high": "35.5", "healpix_order": "3"}
    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("version", "expected"), [("3.1.3", True), ("4.0.1", False), (None, False)]
)
def test_gridding_is_skipped_as_the_gui_of_3_1_does(version: str | None, expected: bool) -> None:
    assert ("skip_gridding" in options_of(version=version)) is expected


def test_any_other_option_is_added_changed_or_dropped() -> None:
    options = options_of("--refine_args", "sigma_ang=1.5,offset_range=3,ctf=no,solvent_correct_fsc")
    assert (options["sigma_ang"], options["offset_range"]) == ("1.5", "3")
    assert options["solvent_correct_fsc"] == ""
    assert "ctf" not in options


def test_other_options_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "options.txt"
    path.write_text("# of the beamline\n--sigma_ang 1.5 --scratch_dir '/my scratch'\n--helix\n")
    options = options_of("--refine_args", f"@{path}")
    assert (options["sigma_ang"], options["scratch_dir"]) == ("1.5", "/my scratch")
    assert options["helix"] == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("--K=2", "has '--K' where the name of an option is expected, without dashes"),
        ("=2", "has '' where"),
        ("@none.txt", "--refine_args @none.txt cannot be read: No such file"),
    ],
)
def test_a_list_that_cannot_be_understood(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_list(text)


def test_values_may_hold_colons_and_equals_signs() -> None:
    assert parse_list("gpu=0:1,x=a=b,,flag") == {"gpu": "0:1", "x": "a=b", "flag": ""}


def test_words_and_back() -> None:
    words = ["--i", "a b.star", "--flag", "--tau", "-1"]
    assert as_words(parse_words("--i 'a b.star' --flag --tau -1")) == words
    with pytest.raises(UserError, match="'c' follows no option"):
        parse_words("--a b c")


STARTED_WITH = options_of(version="3.1.3") | {
    "o": "External/job001/run",
    "external_reconstruct": "",
}


def test_a_continued_refinement_is_told_of_the_machine_only() -> None:
    options = continue_options(options_of("--j", "4", "--refine_gpu", "0"), STARTED_WITH)
    expected = {"pool": "3", "dont_combine_weights_via_disc": "", "j": "4", "gpu": "0"}
    assert options == expected


def test_what_has_changed_since_the_start_is_passed_on_for_relion_to_judge() -> None:
    options = continue_options(options_of("--refine_args", "tau2_fudge=2"), STARTED_WITH)
    assert options["tau2_fudge"] == "2"
    assert "sym" not in options


def test_what_relion_would_keep_against_the_users_will_is_refused() -> None:
    with pytest.raises(UserError, match="was started with --ctf, which RELION keeps"):
        continue_options(options_of("--refine_args", "ctf=no"), STARTED_WITH)


def test_a_finished_refinement_is_not_passed_off_as_another() -> None:
    refuse_other_options(options_of("--j", "4", version="3.1.3"), STARTED_WITH)
    for labels in (["--sym", "C2"], ["--refine_args", "ctf=no"], ["--refine_args", "helix"]):
        with pytest.raises(UserError, match="is finished, and was made with another --"):
            refuse_other_options(options_of(*labels, version="3.1.3"), STARTED_WITH)


@pytest.mark.parametrize(
    ("version", "expected"), [("3.1.3", False), ("4.0.1", False), ("5.0.1", True), (None, True)]
)
def test_who_has_to_be_told_of_the_hook_again(version: str | None, expected: bool) -> None:
    assert hook_is_forgotten(version) is expected
