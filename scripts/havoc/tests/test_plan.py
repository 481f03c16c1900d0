"""The plans come from the seed alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from scripts.havoc.load import requests_plan
from scripts.havoc.plan import GAP_S, RECIPES, Kind, faults_plan


def test_the_same_seed_plans_the_same_faults() -> None:
    assert faults_plan(7, span_s=180, kinds=list(Kind)) == faults_plan(
        7, span_s=180, kinds=set(Kind)
    )


def test_another_seed_plans_others() -> None:
    assert faults_plan(7, span_s=180, kinds=[*Kind]) != faults_plan(8, span_s=180, kinds=[*Kind])


@pytest.mark.parametrize("span_s", [60, 180])
@pytest.mark.parametrize("seed", range(20))
def test_a_minute_and_three_play_every_kind(seed: int, span_s: float) -> None:
    plan = faults_plan(seed, span_s=span_s, kinds=[*Kind])

    assert {fault.kind for fault in plan} == set(Kind)


def test_a_long_run_keeps_the_usual_gaps() -> None:
    begun = [fault.begins_s for fault in faults_plan(7, span_s=600, kinds=[*Kind])]

    assert len(begun) <= 600 / GAP_S[0]
    assert len(begun) >= 600 / GAP_S[1] - len(Kind)


@pytest.mark.parametrize("seed", range(5))
def test_a_target_has_one_fault_at_a_time(seed: int) -> None:
    plan = faults_plan(seed, span_s=600, kinds=[*Kind])

    for target in {fault.target for fault in plan}:
        for earlier, later in pairwise(fault for fault in plan if fault.target == target):
            assert earlier.ends_s < later.begins_s


def test_faults_strike_where_and_as_long_as_their_recipe_says() -> None:
    for fault in faults_plan(3, span_s=600, kinds=[*Kind]):
        shortest, longest = RECIPES[fault.kind].lasts_s
        assert fault.target in RECIPES[fault.kind].targets
        assert shortest - 0.02 <= fault.ends_s - fault.begins_s <= longest + 0.02
        assert fault.begins_s < 600


def test_what_is_left_out_is_not_planned() -> None:
    kinds = set(Kind) - {Kind.DISK_FULL}

    assert Kind.DISK_FULL not in {one.kind for one in faults_plan(1, span_s=600, kinds=kinds)}
    assert faults_plan(1, span_s=600, kinds=[]) == ()


def test_the_same_seed_plans_the_same_load() -> None:
    def plan(seed: int, user: int) -> object:
        return requests_plan(seed, user=user, jobs=40, span_s=60)

    assert plan(7, 0) == plan(7, 0)
    assert plan(7, 0) != plan(7, 1)
    assert plan(7, 0) != plan(8, 0)


@pytest.mark.parametrize("jobs", [1, 13, 40])
def test_the_load_has_exactly_the_jobs_over_the_whole_span(jobs: int) -> None:
    plan = requests_plan(5, user=2, jobs=jobs, span_s=60)

    assert sum(request.count for request in plan) == jobs
    assert all(0 <= request.at_s <= 60 for request in plan)
    assert [request.at_s for request in plan] == sorted(request.at_s for request in plan)


def test_all_sizes_are_such_as_the_server_takes() -> None:
    for request in requests_plan(5, user=2, jobs=200, span_s=60):
        assert request.width % 16 == request.height % 16 == 0
        assert request.denoise <= 0.5
