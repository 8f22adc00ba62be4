"""The options of the hook: defaults, and values that are refused before anything is read."""

from __future__ import annotations

import argparse

import pytest

from plugin_core.regularizers.nonuniform import (
    DEFAULT_TRAILING_DISTANCE,
    RISKS,
    NonuniformParameters,
)
from relion_external.cli import main
from relion_external.commands import reconstruct
from relion_external.options import trailing_distance

STAR = "run_it001_half1_class001_external_reconstruct.star"


def parse(*options):
    parser = argparse.ArgumentParser()
    reconstruct.add_arguments(parser)
    return parser.parse_args([*options, STAR])


def test_the_defaults_are_those_of_the_regulariser():
    options = parse()
    parameters = NonuniformParameters(options.risk, options.order, options.levels, options.awf)
    assert parameters == NonuniformParameters()
    assert trailing_distance(options) == DEFAULT_TRAILING_DISTANCE
    assert options.method == "nonuniform"
    assert (options.minres_map, options.gridding, options.clean) == (5, False, False)


def test_the_denoiser_is_cut_earlier_unless_told_otherwise():
    denoiser = pytest.importorskip("plugin_core.regularizers.denoiser", exc_type=ImportError)
    default = parse("--method", "denoiser")
    assert trailing_distance(default) == denoiser.DEFAULT_TRAILING_DISTANCE == 2
    assert trailing_distance(parse("--method", "denoiser", "--trailing_distance", "0")) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--weights", "w.pt"), "--weights is for --method denoiser, and this is nonuniform"),
        (("--method", "uniform", "--stride", "20"), "--stride is for --method denoiser"),
        (("--precision", "float32"), "--precision is for --method denoiser"),
        (("--blush_compatible",), "--blush_compatible is for --method denoiser"),
        (
            ("--method", "denoiser", "--risk", "cross-half"),
            "--risk is for --method nonuniform, and this is denoiser",
        ),
        (("--method", "denoiser", "--awf", "2"), "--awf is for --method nonuniform"),
    ],
)
def test_options_of_another_method_are_refused_before_anything_is_read(options, told, capsys):
    assert main(["reconstruct", *options, STAR]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("risk", RISKS)
def test_every_risk_can_be_chosen(risk):
    assert parse("--risk", risk).risk == risk


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--awf", "0", "expected a number above 0, not '0'"),
        ("--awf", "-1", "expected a number above 0, not '-1'"),
        ("--awf", "nan", "expected a number above 0, not 'nan'"),
        ("--awf", "inf", "expected a number above 0, not 'inf'"),
        ("--awf", "wide", "expected a number above 0, not 'wide'"),
        ("--levels", "0", "expected a whole number above 0, not '0'"),
        ("--levels", "2.5", "expected a whole number above 0, not '2.5'"),
        ("--order", "0", "expected a whole number above 0, not '0'"),
        ("--trailing_distance", "-1", "expected a whole number, 0 or more, not '-1'"),
        ("--angpix", "-1.2", "expected a number above 0, not '-1.2'"),
        ("--angpix", "0", "expected a number above 0, not '0'"),
        ("--particle_diameter", "-100", "expected a number above 0, not '-100'"),
        ("--partner_timeout", "0", "expected a number above 0, not '0'"),
        ("--quarter_timeout", "0", "expected a number above 0, not '0'"),
        ("--j", "0", "expected a whole number above 0, not '0'"),
        ("--minres_map", "low", "invalid int value: 'low'"),
        ("--method", "denoise", "invalid choice: 'denoise'"),
        ("--stride", "0", "expected a whole number above 0, not '0'"),
        ("--precision", "double", "invalid choice: 'double'"),
        ("--risk", "eighth", "invalid choice: 'eighth'"),
    ],
)
def test_values_out_of_range_exit_with_2(capsys, option, value, message):
    with pytest.raises(SystemExit) as end:
        main(["reconstruct", option, value, STAR])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"relion-external reconstruct: error: argument {option}: {message}")
    assert line.endswith("; see relion-external reconstruct --help")


def test_the_star_file_is_required(capsys):
    with pytest.raises(SystemExit) as end:
        main(["reconstruct"])
    assert end.value.code == 2
    assert "the following arguments are required: star" in capsys.readouterr().err
