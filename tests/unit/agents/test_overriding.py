"""`agent.override` around a start is refused; inside of the workflow it works."""

from __future__ import annotations

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from outlast import Engine, workflow
from outlast.agents import Durability
from outlast.errors import UsageError
from tests.unit.agents.scripted import PLACES, weather_agent

SAID = "; ".join(f"{place}: {len(place)} degrees" for place in PLACES)
forecaster = weather_agent("overridden")


@workflow
async def forecast() -> str:
    return (await forecaster.run("How is the weather?")).output


async def test_an_override_that_a_run_would_not_see_is_refused(engine: Engine) -> None:
    with (
        forecaster.override(model=TestModel()),
        pytest.raises(
            UsageError, match=r"agent 'overridden' is overridden here \(model\), but the run that "
        ),
    ):
        await engine.start(forecast(), id="f")

    assert await (await engine.start(forecast(), id="f")).result() == SAID


other = TestModel(custom_output_text="overridden")
replaceable = Agent(TestModel(), name="replaceable", capabilities=[Durability(models={"o": other})])


@workflow
async def say_overridden() -> str:
    with replaceable.override(model="o"):
        return (await replaceable.run("Say something.")).output


async def test_an_override_inside_of_the_workflow_works(engine: Engine) -> None:
    assert await (await engine.start(say_overridden())).result() == "overridden"
