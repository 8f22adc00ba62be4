"""How many threads a call takes, and that Open MPI's binding does not hold it down."""

from __future__ import annotations

import os

import pytest

from relion_external import threads
from relion_external.threads import usable_threads


@pytest.fixture(autouse=True)
def bindings(monkeypatch):
    """Eight cores, not started by mpirun; the bindings that are asked for."""
    asked: list[range] = []
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: asked.append(cores))
    monkeypatch.delenv("OMPI_COMM_WORLD_RANK", raising=False)
    return asked


@pytest.mark.parametrize(
    ("requested", "shares", "expected"),
    [(None, False, 8), (None, True, 4), (3, True, 3), (16, False, 16)],
)
def test_number_of_threads(bindings, requested, shares, expected):
    assert usable_threads(requested, shares_machine=shares) == expected
    assert bindings == []


def test_half_of_one_core_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    assert usable_threads(None, shares_machine=True) == 1


@pytest.mark.parametrize("requested", [None, 2])
def test_the_binding_of_the_mpi_rank_is_lifted(monkeypatch, bindings, requested):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    usable_threads(requested, shares_machine=True)
    assert bindings == [range(12)]


def test_a_binding_that_cannot_be_lifted_is_kept(monkeypatch):
    def refuse(process, cores):
        raise PermissionError

    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert usable_threads(None, shares_machine=False) == 8
