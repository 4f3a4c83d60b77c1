"""The order in which requests that wait get their turns."""

from __future__ import annotations

import random

from outlast._engine.providers.order import Order, Waiting

SECONDS = 1.0  # of a shared minute, that one turn takes


def waiting(tenant: str, at: float = 0.0, *, ahead: float = 0.0) -> Waiting:
    return Waiting(tenant, at, ahead, SECONDS)


def taken(order: Order, number: int) -> list[str]:
    return [found.tenant for _ in range(number) if (found := order.take()) is not None]


def test_requests_of_one_tenant_come_in_the_order_in_which_they_were_made() -> None:
    order = Order()
    made = [waiting("a", at) for at in (3.0, 1.0, 2.0)]
    for one in made:
        order.add(one)

    assert [order.take() for _ in range(4)] == [made[1], made[2], made[0], None]
    assert not order


def test_tenants_share_alike_however_many_requests_each_has() -> None:
    order = Order()
    for _ in range(1_000):
        order.add(waiting("flood"))
    for _ in range(5):
        order.add(waiting("small", 0.5))

    first = taken(order, 10)

    assert first.count("small") >= 4
    assert len(order) == 995


def test_a_request_that_is_ahead_comes_before_those_that_were_made_so_much_earlier() -> None:
    order = Order()
    for _ in range(50):
        order.add(waiting("a", 0.0))
    order.add(waiting("a", 30.0, ahead=60.0))

    found = order.take()

    assert found is not None
    assert found.at == 30.0


def test_no_request_waits_for_ever_behind_those_that_are_ahead() -> None:
    order, now = Order(), 0.0
    patient = waiting("a", now)
    order.add(patient)
    for number in range(1_000):
        now += SECONDS  # one comes, and one goes
        order.add(waiting(f"tenant {number % 7}", now, ahead=60.0))
        if order.take() is patient:
            break

    assert 55 <= now <= 75


def test_a_request_that_is_given_up_is_passed_over() -> None:
    order = Order()
    one, other = waiting("a"), waiting("a", 1.0)
    order.add(one)
    order.add(other)

    order.remove(one)
    order.remove(one)

    assert len(order) == 1
    assert order.take() is other


def test_what_is_put_back_has_its_place_again() -> None:
    order, chance = Order(), random.Random(5)
    for _ in range(100):
        order.add(waiting(chance.choice("abc"), chance.random()))
    expected = [order.take() for _ in range(40)]
    for one in reversed(expected):
        assert one is not None
        order.put_back(one)

    assert [order.take() for _ in range(40)] == expected


def test_who_is_before_a_request_is_told_without_changing_the_order() -> None:
    order, chance = Order(), random.Random(6)
    made = [waiting(chance.choice("abc"), chance.random()) for _ in range(60)]
    for one in made:
        order.add(one)

    before = [*order.before(made[7], most=1_000)]

    assert [order.take() for _ in before] == before
    assert order.take() is made[7]


def test_tenants_are_forgotten_when_their_clocks_are_past() -> None:
    order = Order()
    for number in range(100):
        order.add(waiting(f"tenant {number}"))
    taken(order, 100)

    order.forget_idle(1e9)

    assert not order._tenants
