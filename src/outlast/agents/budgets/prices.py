"""What requests to models cost: prices of pydantic-ai, or those that the program sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from pydantic_ai import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RequestUsage

from outlast._shapes import is_mapping
from outlast.agents.budgets.amounts import nanos_of
from outlast.errors import BudgetUnpriced, UsageError

_MILLION = 1_000_000
Dollars = str | int | Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model in dollars for a million tokens.

    Attributes:
        input, output: of tokens that are sent and received.
        cache_read, cache_write: of input tokens that the provider reads from its cache, or writes
            into it; by default that of input.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write"):
            if (given := getattr(self, name)) is not None:
                dollars_in(f"Price: {name}", given)

    def of(self, usage: RequestUsage) -> Decimal:
        """Return what a request with this usage costs, in dollars."""
        plain = Decimal(self.input)
        read = plain if self.cache_read is None else Decimal(self.cache_read)
        write = plain if self.cache_write is None else Decimal(self.cache_write)
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        total = max(0, usage.input_tokens - cached) * plain + usage.cache_read_tokens * read
        total += usage.cache_write_tokens * write + usage.output_tokens * Decimal(self.output)
        return total / _MILLION


_prices: dict[str, Price] = {}


def set_prices(prices: Mapping[str, Price | None]) -> None:
    """Set the prices of models in this process, instead of those that pydantic-ai knows.

    Call it at module level, where the agents are defined, so that every process that executes their
    runs has the same prices.

    Args:
        prices: by the model's id with its provider, "openai:gpt-5", or by its name alone. None
            removes a price that was set.

    Raises:
        UsageError: it is not a mapping of names to prices.
    """
    if not is_mapping(prices):
        raise UsageError(f"set_prices takes a dict of prices by models' names, not {prices!r}")
    given: dict[str, Price | None] = {}
    for name, price in prices.items():
        if not isinstance(name, str) or not (price is None or isinstance(price, Price)):
            raise UsageError(
                f"set_prices takes prices by models' names, such as "
                f'{{"openai:gpt-5": Price(input="1.25", output="10")}}, not {price!r} for {name!r}'
            )
        given[name] = price
    for name, price in given.items():
        if price is None:
            _prices.pop(name, None)
        else:
            _prices[name] = price


def dollars_in(what: str, given: object) -> Decimal:
    """Return an amount of dollars that a program gives.

    Raises:
        UsageError: it is none, or negative; or a float, which most amounts are not exactly.
    """
    if isinstance(given, str | Decimal) or (isinstance(given, int) and type(given) is not bool):
        try:
            found = Decimal(given)
        except InvalidOperation:
            found = Decimal(-1)
        if found.is_finite() and found >= 0:
            return found
    raise UsageError(f'{what} is an amount of dollars as text, such as "0.50", not {given!r}')


class Pricing:
    """The prices of the models that may serve a request: of one, or of all that a fallback has."""

    def __init__(self, model: Model) -> None:
        self._models = _serving(model)

    def worst(self, input_tokens: int, output_tokens: int) -> int:
        """Return what a request costs at most, in nanodollars.

        Raises:
            BudgetUnpriced: a model that may serve it has no price.
        """
        plain = RequestUsage(input_tokens=input_tokens, output_tokens=output_tokens)
        cached = RequestUsage(
            input_tokens=input_tokens, cache_write_tokens=input_tokens, output_tokens=output_tokens
        )
        return max(_cost(model, usage) for model in self._models for usage in (plain, cached))

    def actual(self, response: ModelResponse) -> int:
        """Return what a response has cost, in nanodollars.

        Raises:
            BudgetUnpriced: the model that may have served it has no price.
        """
        named = [model for model in self._models if model.model_name == response.model_name]
        return max(_cost(model, response.usage) for model in named or self._models)


def _cost(model: Model, usage: RequestUsage) -> int:
    own = _prices.get(model.model_id) or _prices.get(model.model_name)
    if own is not None:
        return nanos_of(own.of(usage))
    priced = ModelResponse(
        parts=[],
        usage=usage,
        model_name=model.model_name,
        provider_name=model.system,
        provider_url=model.base_url,
    )
    try:
        return nanos_of(priced.cost().total_price)
    except (LookupError, ValueError) as error:
        raise BudgetUnpriced(
            f"the price of model {model.model_id!r} is not known, and a budget limits dollars, so "
            f"the request was not sent: set its price with set_prices({{{model.model_id!r}: "
            'Price(input="...", output="...")}), or limit tokens instead of usd',
            model=model.model_id,
        ) from error


def _serving(model: Model) -> Sequence[Model]:
    if isinstance(model, FallbackModel):
        return [one for choice in model.models for one in _serving(choice)]
    return _serving(model.wrapped) if isinstance(model, WrapperModel) else [model]
