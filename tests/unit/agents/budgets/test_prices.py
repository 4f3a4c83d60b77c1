"""Prices of models: pydantic-ai's, the program's own, of fallbacks, and none."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from pydantic_ai import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RequestUsage
from typing_extensions import override

from outlast.agents import Price, set_prices
from outlast.agents.budgets.amounts import limit_of, nanos_of
from outlast.agents.budgets.prices import Dollars, Pricing
from outlast.errors import BudgetUnpriced, UsageError


class Known(TestModel):
    """A model whose provider pydantic-ai has prices of."""

    @property
    @override
    def system(self) -> str:
        return "openai"


def response(model: str, usage: RequestUsage) -> ModelResponse:
    return ModelResponse(parts=[], usage=usage, model_name=model)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    set_prices({"cheap": None, "dear": None, "openai:gpt-4o": None, "gpt-4o": None})


def named(name: str) -> Model:
    return Known(model_name=name)


def test_prices_that_pydantic_ai_knows_are_used() -> None:
    used = response("gpt-4o", RequestUsage(input_tokens=1_000, output_tokens=100))
    expected = used.cost().total_price

    assert expected > 0
    assert Pricing(named("gpt-4o")).actual(used) == nanos_of(expected)
    assert Pricing(named("gpt-4o")).worst(1_000, 100) >= nanos_of(expected)


def test_a_price_of_the_program_goes_before() -> None:
    set_prices({"openai:gpt-4o": Price(input="1", output="10")})

    assert Pricing(named("gpt-4o")).worst(1_000_000, 100_000) == 2 * 10**9


def test_cached_tokens_have_their_own_price_and_the_worst_case_is_the_dearest() -> None:
    price = Price(input="1", output="10", cache_read="0.1", cache_write="1.25")
    set_prices({"gpt-4o": price})
    usage = RequestUsage(input_tokens=1_000, cache_read_tokens=600, cache_write_tokens=200)
    used = response("gpt-4o", usage)

    assert Pricing(named("gpt-4o")).actual(used) == (200 * 1_000 + 600 * 100 + 200 * 1_250)
    assert Pricing(named("gpt-4o")).worst(1_000, 0) == 1_000 * 1_250


def test_a_fallback_costs_at_most_what_its_dearest_model_does() -> None:
    set_prices({"cheap": Price(input="1", output="1"), "dear": Price(input="5", output="5")})
    used = RequestUsage(input_tokens=1_000)
    pricing = Pricing(WrapperModel(FallbackModel(named("cheap"), named("dear"))))

    assert pricing.worst(1_000, 0) == 5_000_000
    assert pricing.actual(response("cheap", used)) == 1_000_000
    assert pricing.actual(response("another", used)) == 5_000_000


def test_a_model_without_a_price_is_named_with_what_to_do() -> None:
    with pytest.raises(BudgetUnpriced, match=r"'openai:nobody'.*set_prices") as caught:
        Pricing(named("nobody")).worst(1, 1)

    assert caught.value.model == "openai:nobody"


def test_costs_are_rounded_up_and_limits_down() -> None:
    assert nanos_of(Decimal("0.0000000011")) == 2
    assert limit_of(Decimal("0.0000000019")) == 1


@pytest.mark.parametrize("given", [0.5, "x", "-1", "NaN", True])
def test_a_price_that_is_none_is_refused(given: Dollars) -> None:
    with pytest.raises(UsageError, match="an amount of dollars as text"):
        Price(input="1", output=given)


def test_prices_are_given_by_name() -> None:
    wrong: Price = "1.25"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # so
    with pytest.raises(UsageError, match="prices by models' names"):
        set_prices({"cheap": wrong})
