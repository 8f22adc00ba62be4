"""Where the cross-half risk takes the other half-map from, and when it gives up."""

from __future__ import annotations

import os
import shutil
import threading

import numpy as np
import pytest

from relion_external import partner
from relion_external.errors import UserError

HALF1, HALF2 = "run_it003_half1_class001", "run_it003_half2_class001"


@pytest.fixture(autouse=True)
def _previous_iteration(project):
    project.previous_iteration()


@pytest.fixture
def cross_half(succeed):
    return lambda star, *options: succeed(
        star, "--risk", "cross-half", "--partner_timeout", 10, *options
    )


@pytest.fixture
def refused(reconstruct):
    """A call that finds no other half within its limit."""

    def run(star, *options):
        answered = reconstruct(star, "--risk", "cross-half", "--partner_timeout", 0.05, *options)
        assert answered.status == 1
        assert not answered.result.exists()
        return answered.stderr

    return run


@pytest.mark.parametrize(
    ("mine", "other"),
    [(HALF1, HALF2), (HALF2, HALF1), ("run_it003_half1_body002", "run_it003_half2_body002")],
)
def test_the_other_half_is_reconstructed_from_its_arrays(project, cross_half, mine, other):
    star, partner_star = project.call(mine, seed=1), project.call(other, seed=2)
    answered = cross_half(star)
    assert f"other half-map: from {partner_star}" in answered.log
    first = answered.map()
    project.call(other, seed=3)
    assert np.std(cross_half(star).map() - first) > 1e-3


def test_an_unfiltered_map_is_taken_before_the_arrays(project, cross_half, succeed):
    star = project.call(HALF1, seed=1)
    from_arrays = succeed(
        project.call(HALF2, seed=2), "--method", "uniform", "--minres_map", 999
    ).map()
    expected = cross_half(star).map()
    shutil.move(project.folder / f"{HALF2}_external_reconstruct.star", "elsewhere.star")
    unfil = project.write(f"{HALF2}_unfil.mrc", from_arrays)
    answered = cross_half(star)
    assert f"other half-map: {unfil}" in answered.log
    np.testing.assert_array_equal(answered.map(), expected)


def test_an_unfiltered_map_of_a_body_is_in_another_frame(project, cross_half):
    star = project.call("run_it003_half1_body001")
    other = project.call("run_it003_half2_body001", seed=2)
    project.write("run_it003_half2_class001_unfil.mrc", project.truth)
    project.write("run_it003_half2_body001_unfil.mrc", project.truth)
    assert f"other half-map: from {other}" in cross_half(star).log


@pytest.mark.parametrize("what", ["star", "unfil"])
def test_what_is_older_than_the_last_iteration_is_of_another_run(project, refused, what):
    star, stale = project.call(HALF1), project.call(HALF2, seed=2)
    if what == "unfil":
        stale.unlink()
        stale = project.write(f"{HALF2}_unfil.mrc", project.truth)
    optimiser = project.folder / "run_it002_optimiser.star"
    os.utime(stale, (optimiser.stat().st_mtime - 1,) * 2)
    assert refused(star) == (
        "relion-external: error: the other half-set's Refine3D/job001/run_it003_half2_class001_"
        "external_reconstruct.star did not appear within 0.05 s (--partner_timeout): "
        "use --risk split-noise, which needs no other half\n"
    )


def test_an_empty_file_is_not_there_yet(project, refused):
    star, other = project.call(HALF1), project.call(HALF2)
    other.write_text("")
    assert "did not appear within 0.05 s" in refused(star)


def test_the_other_half_is_waited_for(project, cross_half, monkeypatch):
    monkeypatch.setattr(partner, "_POLL_S", 0.02)
    star, other = project.call(HALF1), project.call(HALF2, seed=2)
    hidden = other.with_suffix(".hidden")
    other.rename(hidden)
    appear = threading.Timer(0.3, hidden.rename, [other])
    appear.start()
    answered = cross_half(star, "--partner_timeout", 60)
    appear.join()
    assert f"waiting up to 60 s for {other}" in answered.log


def test_halves_one_after_the_other_are_refused_at_once(project, reconstruct, monkeypatch):
    """The second half's hook starts when the first has ended: waiting would be in vain."""
    monkeypatch.setattr(partner.time, "sleep", lambda seconds: pytest.fail("it waits"))
    project.previous_iteration(command_line="--auto_refine --sequential_halves_recons --pad 1")
    star = project.call(HALF1)
    answered = reconstruct(star, "--risk", "cross-half", "--partner_timeout", 600)
    assert answered.status == 1
    assert answered.stderr == (
        "relion-external: error: the risk cross-half needs both half-maps, but with "
        "--sequential_halves_recons RELION makes run_it003_half2_class001_external_reconstruct."
        "star only after this call has ended: drop that flag, add --solvent_correct_fsc with a "
        "mask, or use --risk split-noise\n"
    )


def test_the_second_of_halves_one_after_the_other_finds_the_first(project, cross_half):
    project.previous_iteration(command_line="--auto_refine --sequential_halves_recons --pad 1")
    first, second = project.call(HALF1), project.call(HALF2, seed=2)
    assert f"other half-map: from {first}" in cross_half(second).log


def test_unfiltered_maps_serve_halves_one_after_the_other(project, cross_half):
    project.previous_iteration(command_line="--auto_refine --sequential_halves_recons --pad 1")
    unfil = project.write(f"{HALF2}_unfil.mrc", project.truth)
    assert f"other half-map: {unfil}" in cross_half(project.call(HALF1)).log


def test_a_classification_has_no_other_half(project, reconstruct):
    answered = reconstruct(
        project.call("run_it003_class001", fsc=np.zeros(9)), "--risk", "cross-half"
    )
    assert answered.status == 1
    assert answered.stderr == (
        "relion-external: error: the risk cross-half needs half-sets, and a classification has "
        "none\n"
    )


def test_split_noise_waits_for_nobody(project, succeed):
    succeed(project.call(HALF1))
    assert project.history()[0]["risk"] == "split-noise"


def test_a_star_file_that_is_still_being_written_is_waited_for(tmp_path, monkeypatch):
    attempts = iter([UserError("cut short"), UserError("cut short"), "whole"])

    def read_call(path):
        found = next(attempts)
        if isinstance(found, UserError):
            raise found
        return found

    monkeypatch.setattr(partner, "read_call", read_call)
    monkeypatch.setattr(partner, "_POLL_S", 0.01)
    assert partner._read_when_whole(tmp_path / "a.star", limit_s=5) == "whole"


def test_a_star_file_that_stays_broken_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(partner, "_POLL_S", 0.01)
    path = tmp_path / "run_it003_half2_class001_external_reconstruct.star"
    path.write_text("data_\n")
    with pytest.raises(UserError, match=r"half2_class001"):
        partner._read_when_whole(path, limit_s=0.05)
