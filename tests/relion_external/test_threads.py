"""How many threads a call takes, and that Open MPI's binding does not hold it down."""

from __future__ import annotations

import os

import pytest

from relion_external import threads
from relion_external.threads import most_calls_at_once, usable_threads


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
    ("requested", "calls", "expected"),
    [(None, 1, 8), (None, 2, 4), (None, 3, 2), (3, 2, 3), (16, 1, 16)],
)
def test_number_of_threads(bindings, requested, calls, expected):
    assert usable_threads(requested, calls) == expected
    assert bindings == []


def test_half_of_one_core_is_one_thread(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    assert usable_threads(None, 2) == 1


@pytest.mark.parametrize(
    ("variable", "ranks", "maps", "expected"),
    [
        ("OMPI_COMM_WORLD_SIZE", "3", 2, 2),
        ("OMPI_COMM_WORLD_SIZE", "3", 4, 2),
        ("PMI_SIZE", "9", 4, 4),
        ("OMPI_COMM_WORLD_SIZE", "1", 4, 1),
        ("PMIX_RANK", "3", 4, 4),
        ("OTHER", "3", 4, 1),
    ],
)
def test_calls_at_once_are_limited_by_the_ranks(monkeypatch, variable, ranks, maps, expected):
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", *threads._RANKS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, ranks)
    assert most_calls_at_once(maps) == expected


@pytest.mark.parametrize("requested", [None, 2])
def test_the_binding_of_the_mpi_rank_is_lifted(monkeypatch, bindings, requested):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    usable_threads(requested, 2)
    assert bindings == [range(12)]


def test_a_binding_that_cannot_be_lifted_is_kept(monkeypatch):
    def refuse(process, cores):
        raise PermissionError

    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert usable_threads(None) == 8
