"""The dashboard for people who do not use a mouse, or do not see it, or see it otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.commands import until
from tests.e2e.dashboards import (
    NARROW,
    Browser,
    Page,
    Seat,
    Server,
    built,
    fields_of,
    run_link,
    served,
    settled,
)

CONTRAST_MIN = 4.5

# What each page has to look at; all that people meet daily.
PLACES = {
    "home": "#/",
    "runs": "#/runs",
    "run": run_link("seen-digest"),
    "record": run_link("seen-digest") + "?at=8",
    "journal": run_link("seen-digest") + "?tab=journal",
    "streams": run_link("seen-digest") + "?tab=streams",
    "failed": run_link("seen-fails"),
    "parked": run_link("seen-parks"),
    "start": "#/runs?start=app.order",
    "approvals": "#/approvals",
    "actors": "#/actors",
    "actor": "#/actors/app.Notebook%2Falice",
    "teams": "#/actors?tab=teams",
    "dead": "#/actors?tab=dead",
    "diff": "#/diff?a=seen-digest&b=seen-fails",
    "attempts": run_link("seen-buy") + "?at=3",
    "nowhere": "#/nowhere",
    "metrics": "#/metrics",
    "logs": "#/logs",
    "run-logs": run_link("seen-buy") + "?tab=logs",
    "children": run_link("seen-family") + "?tab=children",
    "workflows": "#/workflows",
    "workflow": "#/workflows/app.buy",
    "audit": "#/audit",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Server]:
    built()
    with served(tmp_path_factory.mktemp("served")) as found:
        found.start("digest", "seen-digest", topic="seen")
        found.start("fails", "seen-fails", text="a reason")
        found.start("parks", "seen-parks", text="a reason")
        found.start("refund", "seen-refund", cents=40)
        found.start("quick", "seen-quick", n=1)
        found.start("buy", "seen-buy", order_id="7")
        found.start("family", "seen-family", order_id="7")
        found.ask("/v1/actors/app.Notebook/alice/add?mode=ask", {"text": "hello"})
        until(lambda: found.run("seen-parks")["status"] == "parked")
        until(lambda: "go_on" in str(found.run("seen-digest")["why"]))
        yield found


@pytest.fixture(params=["light", "dark", "narrow", "narrow-dark"])
def seat(request: pytest.FixtureRequest, chromium: Browser, server: Server) -> Iterator[Seat]:
    options: dict[str, object] = {"color_scheme": "dark" if "dark" in request.param else "light"}
    if "narrow" in request.param:
        options["viewport"] = NARROW
    made = Seat(chromium, server, f"{request.param}-", **options)
    yield made
    made.context.close()
    assert made.complaints == []


def visit(seat: Seat, page: Page, name: str) -> None:
    seat.go(page, PLACES[name])
    page.locator("main h1").wait_for()
    settled(page)


# The eye's measure as WCAG 2 defines it, of every text node on the ground that is behind it.
CONTRAST = """
(least) => {
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = 1
  const pen = canvas.getContext('2d', { willReadFrequently: true })
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1)
    pen.fillStyle = colour
    pen.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
  }
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]))
  const ground = (element) => {
    const layers = []
    for (let at = element; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor))
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255])
  }
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => {
      const part = c / 255
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const faults = new Set()
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement
    if (!node.data.trim() || !element.checkVisibility()) continue
    if (element.closest('.off-screen, :disabled, .skip')) continue
    const style = getComputedStyle(element)
    const below = ground(element)
    const [a, b] = [light(over(rgba(style.color), below)), light(below)]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const isLarge = parseFloat(style.fontSize) >= 24
    if (ratio >= (isLarge ? 3 : least)) continue
    faults.add(`${node.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`)
  }
  return [...faults]
}
"""

# What a screen reader could not name or would be misled by.
NAMES = r"""
() => {
  const faults = []
  const visible = (element) => element.checkVisibility()
  const named = (element) => {
    const by = element.getAttribute('aria-labelledby')
    const words = [
      element.getAttribute('aria-label'),
      by && by.split(' ').map((id) => document.getElementById(id)?.textContent).join(' '),
      element.labels && [...element.labels].map((label) => label.textContent).join(' '),
      // As it is rendered: what is not displayed is no name either.
      element.matches('a, button, summary, [role=tab], [role=option]') && element.innerText,
      element.querySelector('[aria-label]')?.getAttribute('aria-label'),
    ]
    return words.some((word) => word && word.trim() !== '')
  }
  const controls = 'a, button, input, select, textarea, summary, dialog[open]'
  const regions = '[role=table], [role=listbox], section, nav, aside'
  for (const element of document.querySelectorAll(controls + ', ' + regions)) {
    if (!visible(element) || named(element)) continue
    faults.push('no name: ' + element.outerHTML.slice(0, 120))
  }
  for (const svg of document.querySelectorAll('svg')) {
    const isTold = svg.getAttribute('aria-hidden') || svg.getAttribute('aria-label')
    if (!isTold) faults.push('a picture without a name')
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id)
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push('two of id ' + id)
  for (const name of ['aria-controls', 'aria-labelledby', 'aria-describedby']) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      for (const id of element.getAttribute(name).split(' ')) {
        if (!document.getElementById(id)) faults.push(`${name} of nothing: ${id}`)
      }
    }
  }
  // Who speaks to the page says what they see.
  for (const element of document.querySelectorAll('a[aria-label], button[aria-label]')) {
    const plain = (text) => text.toLowerCase().replace(/\s+/g, ' ').trim()
    if (!visible(element)) continue
    if (plain(element.getAttribute('aria-label')).includes(plain(element.innerText))) continue
    faults.push('a label without its text: ' + element.outerHTML.slice(0, 120))
  }
  let level = 0
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    if (!visible(heading)) continue
    const own = Number(heading.tagName[1])
    if (own > level + 1) faults.push(`level ${own} after ${level}: ${heading.innerText}`)
    level = own
  }
  const inside = 'a, button, input, select, textarea, summary, [tabindex]'
  for (const element of document.querySelectorAll('main *')) {
    const isScrolled = element.scrollHeight > element.clientHeight + 2 && visible(element)
    if (!isScrolled || !/auto|scroll/.test(getComputedStyle(element).overflowY)) continue
    if (element.tabIndex >= 0 || element.querySelector(inside)) continue
    faults.push('scrolled by the mouse only: ' + element.outerHTML.slice(0, 120))
  }
  if (document.querySelectorAll('main').length !== 1) faults.push('one main')
  if (document.querySelectorAll('h1').length !== 1) faults.push('one h1')
  if (document.documentElement.lang !== 'en') faults.push('a language')
  for (const row of document.querySelectorAll('[role=row]')) {
    if (!row.closest('[role=table]')) faults.push('a row outside a table')
    const roles = [...row.children].map((cell) => cell.getAttribute('role'))
    if (!roles.every((role) => /cell|columnheader/.test(role))) faults.push('a row of no cells')
  }
  const page = document.documentElement
  if (page.scrollWidth > page.clientWidth) faults.push(`wider than the window: ${page.scrollWidth}`)
  return faults
}
"""


def test_every_text_has_contrast_and_every_control_a_name(seat: Seat) -> None:
    page = seat.open()
    for name in PLACES:
        visit(seat, page, name)
        seat.shot(page, name)
        assert page.evaluate(CONTRAST, CONTRAST_MIN) == [], name
        assert page.evaluate(NAMES) == [], name


TAB = """
() => {
  const element = document.activeElement
  const style = getComputedStyle(element)
  const box = element.getBoundingClientRect()
  return {
    name: element.getAttribute('aria-label') || element.textContent.trim().slice(0, 40),
    isMarked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    isSeen: box.width > 0 && box.height > 0,
    isBody: element === document.body,
  }
}
"""


def test_the_focus_goes_through_the_page_in_order_and_is_always_seen(seat: Seat) -> None:
    page = seat.open("#/runs")
    page.reload()  # who comes from another page begins in this one
    page.locator(".run-row a").first.wait_for()
    names: list[str] = []
    for _ in range(24):
        page.keyboard.press("Tab")
        found = fields_of(page.evaluate(TAB))
        if found["isBody"]:
            break
        assert found["isMarked"], found
        assert found["isSeen"], found
        names.append(str(found["name"]).rstrip("0123456789"))

    assert names[0] == "Skip to the content"
    order = [names.index(name) for name in ("Home", "Runs", "Approvals", "Actors", "Metrics")]
    assert order == sorted(order)
    assert names.index("Metrics") < names.index("Start a run") < names.index("Filter runs")


# Between the last and the first control the browser's own bar has the focus.
INSIDE = "!!document.activeElement.closest('dialog') || document.activeElement === document.body"


def test_a_dialog_keeps_the_focus_and_gives_it_back(seat: Seat) -> None:
    page = seat.open("#/runs")
    button = page.get_by_role("button", name="Start a run")
    button.click()
    page.get_by_role("dialog", name="Start a run").wait_for()
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(INSIDE) is True
    page.keyboard.press("Escape")

    until(lambda: page.locator("dialog").count() == 0)
    assert page.evaluate("document.activeElement.textContent.trim()") == "Start a run"


def test_nothing_moves_for_those_who_asked_for_that(chromium: Browser, server: Server) -> None:
    seat = Seat(chromium, server, reduced_motion="reduce")
    page = seat.open(PLACES["run"])
    page.locator("main h1").wait_for()

    moving = "document.getAnimations().filter((it) => it.playState === 'running').length"
    assert page.evaluate(moving) == 0
    seat.context.close()


def test_the_theme_can_be_chosen_and_is_kept(chromium: Browser, server: Server) -> None:
    seat = Seat(chromium, server, color_scheme="light")
    page = seat.open()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) == light
    page.keyboard.press("t")
    dark = page.evaluate(ground)
    assert dark != light

    page.reload()
    page.locator("main h1").wait_for()
    assert page.evaluate(ground) == dark
    seat.context.close()
