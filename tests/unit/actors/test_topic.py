"""Topics: each subscriber gets each publication once, those of one publisher in order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from outlast import (
    Actor,
    ActorRef,
    Child,
    Engine,
    Supervisor,
    Topic,
    actor,
    handler,
    step,
    wf,
    workflow,
)
from outlast._registry import default_registry
from outlast.client import Client
from outlast.errors import (
    DecodingError,
    EncodingError,
    HandlerFailed,
    NotInRun,
    RunFailed,
    UnknownTopic,
    UsageError,
)
from tests.unit.actors.crew import seen
from tests.unit.actors.kept import Kept, repaired


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

    await engine.run(publishes("w"), timeout="30s")

    assert sorted(await read_by(engine, "ann", 2)) == ["sport: w", "w 0"]


@workflow
async def publishes_wrongly() -> None:
    await news.publish(cast("Article", "no article"))


async def test_what_is_of_another_type_is_refused(engine: Engine) -> None:
    with pytest.raises(RunFailed, match=EncodingError.__name__):
        await engine.run(publishes_wrongly(), timeout="30s")


@workflow
async def stops_reading(key: str) -> None:
    await news.unsubscribe(wf.actor(Reader, key))


async def test_who_unsubscribes_gets_nothing_more(engine: Engine) -> None:
    for key in ("ann", "bob"):
        await engine.actor(Reader, key).ask(Reader.begin)
    await engine.run(stops_reading("ann"), timeout="30s")

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


async def test_a_program_publishes_and_subscribes(engine: Engine) -> None:
    reader = engine.actor(Reader, "ann")

    await engine.subscribe(sport, reader, Reader.on_news)
    await engine.publish(sport, Article("from a program", 1), dedup="k")
    await engine.publish(sport, Article("from a program", 1), dedup="k")
    assert await read_by(engine, "ann", 1) == ["from a program 1"]

    await engine.unsubscribe(sport, reader)
    await engine.unsubscribe(news, reader)
    await engine.publish(sport, Article("unheard", 2))
    await engine.publish(news, Article("unheard", 2))
    await engine.actor(Reader, "bob").ask(Reader.begin)
    await engine.publish(news, Article("heard", 3))
    assert await read_by(engine, "bob", 1) == ["heard 3"]
    assert "unheard 2" not in await reader.ask(Reader.titles)


async def test_a_topic_outside_of_a_run_names_the_engines_verb(engine: Engine) -> None:
    reader = engine.actor(Reader, "ann")

    with pytest.raises(NotInRun, match=r"await engine\.publish\(topic, value\)"):
        await news.publish(Article("x", 1))
    with pytest.raises(NotInRun, match=r"await engine\.subscribe\(topic, ref, handler\)"):
        await news.subscribe(reader, Reader.on_news)
    with pytest.raises(NotInRun, match=r"await engine\.unsubscribe\(topic, ref\)"):
        await news.unsubscribe(reader)


@actor
class Beginner(Actor[Shelf]):
    """Comes to be in several ways."""

    @handler(topic=news)
    async def on_news(self, article: Article) -> None:
        self.state.titles.append(article.title)

    @handler
    async def fail(self) -> None:
        raise ValueError("no luck")

    @handler(read=True)
    async def titles(self) -> list[str]:
        return self.state.titles


async def titles_of(ref: ActorRef[Beginner], wanted: list[str]) -> None:
    """Return when the actor has these titles."""
    async with asyncio.timeout(30):
        while await ref.ask(Beginner.titles) != wanted:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("beginning", ["read", "failed", "member"])
async def test_an_actor_is_subscribed_however_it_began(engine: Engine, beginning: str) -> None:
    ref = engine.actor(Beginner, beginning)
    if beginning == "read":
        assert await ref.ask(Beginner.titles) == []
    elif beginning == "failed":
        with pytest.raises(HandlerFailed):
            await ref.ask(Beginner.fail)
    else:
        await engine.apply(Supervisor("listening", [Child(Beginner, key="member")]))

    await engine.publish(news, Article("x", 1))

    await titles_of(ref, ["x"])


async def test_an_actor_that_only_read_is_subscribed_once(engine: Engine) -> None:
    ref = engine.actor(Beginner, "reader")
    for _ in range(3):
        await ref.ask(Beginner.titles)
    await engine.unsubscribe(news, ref)
    await ref.ask(Beginner.titles)
    await engine.actor(Beginner, "other").ask(Beginner.titles)

    await engine.publish(news, Article("x", 1))

    await titles_of(engine.actor(Beginner, "other"), ["x"])
    assert await ref.ask(Beginner.titles) == []


@actor(name="topics.grown")
class Before(Actor[Shelf]):
    """What a class was before it took a topic."""

    @handler
    async def begin(self) -> None:
        """Come to be."""

    @handler(topic=sport)
    async def on_sport(self, article: Article) -> None:
        self.state.titles.append(article.title)


async def test_a_class_that_takes_one_more_topic_is_subscribed_to_it(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        await engine.actor(Before, "a").ask(Before.begin)
    del default_registry.actors["topics.grown"]

    @actor(name="topics.grown")
    class After(Actor[Shelf]):
        @handler
        async def begin(self) -> None: ...

        @handler(topic=sport)
        async def on_sport(self, article: Article) -> None:
            self.state.titles.append(f"sport {article.title}")

        @handler(topic=news)
        async def on_news(self, article: Article) -> None:
            self.state.titles.append(article.title)

        @handler
        async def titles(self) -> list[str]:
            return self.state.titles

    async with Engine.open(tmp_path / "o.db") as engine:
        await engine.actor(After, "a").ask(After.begin)
        await engine.publish(sport, Article("x", 1))
        await engine.publish(news, Article("y", 1))
        async with asyncio.timeout(30):
            grown = engine.actor(After, "a")
            while len(await grown.ask(After.titles)) < 2:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
        assert sorted(await engine.actor(After, "a").ask(After.titles)) == ["sport x", "y"]


async def test_the_owners_socket_publishes_by_name(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "o.db") as engine:
        await engine.actor(Reader, "ann").ask(Reader.begin)
        async with Client(f"{tmp_path / 'o.db'}") as client:
            await client.publish("news", {"title": "told", "number": 1}, dedup="k")
            with pytest.raises(UnknownTopic, match="did you mean 'news'"):
                await client.publish("newss", 1)
            with pytest.raises(DecodingError):
                await client.publish("news", {"title": 1})

        assert await read_by(engine, "ann", 1) == ["told 1"]


async def test_a_first_message_that_failed_does_not_cost_the_subscription(engine: Engine) -> None:
    repaired.clear()
    kept = engine.actor(Kept, "a")
    await kept.tell(Kept.on_news, "too early")
    await kept.ask(Kept.add, "then")
    repaired.append(True)

    await engine.actor(Kept, "b").ask(Kept.publish, "news")

    for _ in range(1_000):
        if await kept.ask(Kept.all) == ["then", "news"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await kept.ask(Kept.all))
