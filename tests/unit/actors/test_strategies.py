"""What a supervisor decides, for all inputs; and that a team becomes what is applied."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from outlast import Child, Engine, Supervisor, limits
from outlast._actors.strategies import group_of, pause_before, recent
from outlast.types import Strategy
from tests.unit.actors.crew import Worker, seen

STRATEGIES: tuple[Strategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
members = st.lists(st.integers(), min_size=1, max_size=20, unique=True)


@given(st.sampled_from(STRATEGIES), members, st.data())
def test_a_group_is_in_order_and_has_the_one_that_failed(
    strategy: Strategy, team: list[int], data: st.DataObject
) -> None:
    failed = data.draw(st.sampled_from(team))

    group = group_of(strategy, team, failed)

    wanted = {
        "one_for_one": [failed],
        "one_for_all": team,
        "rest_for_one": [one for one in team if team.index(one) >= team.index(failed)],
    }
    assert group == wanted[strategy]


@given(
    st.lists(st.floats(0, 1e6)),
    st.floats(0, 1e6),
    st.floats(0.001, 1e5),
)
def test_only_what_is_within_the_time_counts(times: list[float], now: float, within: float) -> None:
    counted = recent(times, now, within)

    assert counted == [at for at in times if at in counted]
    assert all(now - at < within for at in counted)
    assert sum(now - at < within for at in times) == len(counted)


@given(st.integers(0, 10_000))
def test_pauses_grow_up_to_the_longest(failures: int) -> None:
    first, longest = limits.SUPERVISOR_PAUSE_SECONDS

    pause, following = pause_before(failures), pause_before(failures + 1)

    assert 0 <= pause <= following <= longest
    assert pause == 0 or pause >= first
    assert following in (0.0, first, longest) or following == 2 * pause


keys = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


@given(
    st.lists(
        st.tuples(keys, st.integers(0, 5), st.sampled_from(STRATEGIES)), min_size=1, max_size=4
    )
)
@settings(max_examples=25, deadline=None)
def test_the_team_that_was_applied_last_is_up_and_nobody_else(
    specs: list[tuple[list[str], int, Strategy]],
) -> None:
    async def apply_all() -> None:
        async with Engine.open("memory://") as engine:
            team = Supervisor("crew", [])
            for names, cut, strategy in specs:
                outer = [Child(Worker, key=name) for name in names[:cut]]
                inner = [Child(Worker, key=name) for name in names[cut:]]
                within = [Supervisor("inner", inner)] if inner else []
                team = Supervisor("crew", [*within, *outer], strategy=strategy)
                # A member that moves is refused until the team that it leaves has let it go.
                for _ in range(300):
                    applied = await engine.apply(team)
                    changes = (applied.started, applied.stopped, applied.changed)
                    if not any(changes) and not applied.failed:
                        break
            names, cut, _ = specs[-1]
            found = [info async for info in engine.teams()]
            ids = [m.id.rpartition("/")[2] for m in found[0].members]
            inside = [m.id[-1] for m in found[0].members if m.team for m in m.team.members]
            assert ids == [*(["inner"] if names[cut:] else []), *names[:cut]]
            assert inside == names[cut:]
            up = {i.key async for i in engine.actors(Worker) if i.status == "waiting"}
            assert up == set(names)
            again = await engine.apply(team)
            assert (again.started, again.stopped, again.changed) == ((), (), ())

    seen.clear()
    asyncio.run(apply_all())
