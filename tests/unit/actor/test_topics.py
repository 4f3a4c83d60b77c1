"""Topics: each subscriber gets each publication once, those of one publisher in order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from outlast import Actor, Child, Engine, Supervisor, Topic, actor, handler, step, wf, workflow
from outlast.errors import EncodingError, HandlerFailed, RunFailed, UsageError
from tests.unit.actor.crew import seen


@dataclass
class Article:
    title: str
    number: int


@dataclass
class Shelf:
    titles: list[str] = field(default_factory=list[str])


news = Topic("news", Article)
sport = Topic("sport", Article)


@actor
class Reader(Actor[Shelf]):
    """Takes what is published."""

    @handler
    async def begin(self) -> None:
        """Come to be."""

    @handler(topic=news)
    async def on_news(self, article: Article) -> None:
        self.state.titles.append(f"{article.title} {article.number}")

    @handler(topic=sport)
    async def on_sport(self, article: Article) -> None:
        self.state.titles.append(f"sport: {article.title}")

    @handler(read=True)
    async def titles(self) -> list[str]:
        return self.state.titles


@actor
class Writer(Actor[Shelf]):
    """Publishes."""

    @handler
    async def write(self, title: str, count: int, fail: bool = False) -> None:
        for number in range(count):
            await news.publish(Article(title, number))
        if fail:
            raise ValueError("nothing of this was published")


@step
async def publish_in_step(title: str) -> None:
    await sport.publish(Article(title, 0))


@workflow
async def publishes(title: str) -> None:
    await news.publish(Article(title, 0))
    await publish_in_step(title)


async def read_by(engine: Engine, key: str, count: int) -> list[str]:
    """Return what a reader has when it has so much."""
    titles: list[str] = []
    for _ in range(1_000):
        titles = await engine.actor(Reader, key).ask(Reader.titles)
        if len(titles) >= count:
            return titles
        await asyncio.sleep(0.01)
    raise AssertionError(f"{key} has only {titles}")


async def test_every_subscriber_gets_it_once_and_in_order(engine: Engine) -> None:
    for key in ("ann", "bob"):
        await engine.actor(Reader, key).ask(Reader.begin)

    await engine.actor(Writer, "w").ask(Writer.write, "x", 5)

    expected = [f"x {n}" for n in range(5)]
    assert await read_by(engine, "ann", 5) == expected
    assert await read_by(engine, "bob", 5) == expected


async def test_a_handler_that_raises_has_published_nothing(engine: Engine) -> None:
    await engine.actor(Reader, "ann").ask(Reader.begin)

    with pytest.raises(HandlerFailed):
        await engine.actor(Writer, "w").ask(Writer.write, "lost", 3, fail=True)
    await engine.actor(Writer, "w").ask(Writer.write, "kept", 1)

    assert await read_by(engine, "ann", 1) == ["kept 0"]


async def test_workflows_and_steps_publish(engine: Engine) -> None:
    await engine.actor(Reader, "ann").ask(Reader.begin)

    await engine.run(publishes("w"), timeout="20s")

    assert sorted(await read_by(engine, "ann", 2)) == ["sport: w", "w 0"]


@workflow
async def publishes_wrongly() -> None:
    await news.publish(cast("Article", "no article"))


async def test_what_is_of_another_type_is_refused(engine: Engine) -> None:
    with pytest.raises(RunFailed, match=EncodingError.__name__):
        await engine.run(publishes_wrongly(), timeout="20s")


@workflow
async def stops_reading(key: str) -> None:
    await news.unsubscribe(wf.actor(Reader, key))


async def test_who_unsubscribes_gets_nothing_more(engine: Engine) -> None:
    for key in ("ann", "bob"):
        await engine.actor(Reader, key).ask(Reader.begin)
    await engine.run(stops_reading("ann"), timeout="20s")

    await engine.actor(Writer, "w").ask(Writer.write, "x", 1)

    assert await read_by(engine, "bob", 1) == ["x 0"]
    assert await engine.actor(Reader, "ann").ask(Reader.titles) == []


@actor
class Listener(Actor[Shelf]):
    """Takes no topic by declaration."""

    @handler
    async def hear(self, article: Article) -> None:
        self.state.titles.append(article.title)
        seen.add(article.title)

    @handler
    async def quit(self) -> None:
        self.stop()

    @handler(read=True)
    async def titles(self) -> list[str]:
        return self.state.titles

    @handler(topic=sport)
    async def on_sport(self, article: Article) -> None:
        await self.hear(article)


@workflow
async def listens(key: str) -> None:
    await news.subscribe(wf.actor(Listener, key), Listener.hear)


@workflow
async def publishes_sport(title: str) -> None:
    await sport.publish(Article(title, 1))


async def test_an_actor_is_subscribed_at_run_time(engine: Engine) -> None:
    await engine.run(listens("l"))
    await engine.run(listens("l"))

    seen.clear()
    await engine.actor(Writer, "w").ask(Writer.write, "x", 1)
    await engine.actor(Writer, "w").ask(Writer.write, "y", 1)
    await seen.count("y")

    assert seen.events == ["x", "y"]


async def test_a_topic_forgets_who_has_stopped_and_knows_who_comes_back(engine: Engine) -> None:
    seen.clear()
    team = Supervisor("crew", [Child(Listener, key="l", restart="never")])
    await engine.apply(team)
    await engine.actor(Listener, "l").ask(Listener.hear, Article("first", 1))
    await engine.run(publishes_sport("second"))
    await seen.count("second")

    await engine.actor(Listener, "l").ask(Listener.quit)
    await engine.run(publishes_sport("missed"))
    await engine.apply(Supervisor("crew", []))
    await engine.apply(team)
    await engine.run(publishes_sport("heard"))
    await seen.count("heard")

    assert seen.events == ["first", "second", "heard"]
    assert [letter async for letter in engine.dead_letters()] == []


async def test_a_topic_is_not_stopped(engine: Engine) -> None:
    await engine.run(publishes_sport("x"))

    with pytest.raises(UsageError, match="is a topic"):
        await engine.get("outlast.Topic/sport").terminate("by mistake")
