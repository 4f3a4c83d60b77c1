"""What must hold of teams when everything has come to rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlast import limits
from outlast._actors.leading import Member, Team
from outlast._actors.supervising import SupervisorActor
from outlast._execution.actors.membership import PLACE, REMINDER, Membership, decode_place
from outlast._messages.actor_ids import SUPERVISORS
from outlast._messages.letters import decode_letter
from outlast._registry import ActorDefinition, default_registry
from outlast._store.memory.database import MemoryDatabase
from outlast._store.rows import DeadLetter, Message, RunRow
from outlast.types import CLOSED_STATUSES, RunId
from tests.simulation.invariants import require
from tests.simulation.team_workload import Lines, Watcher, Worker

_worker = default_registry.find_actor(Worker)
_watcher = default_registry.find_actor(Watcher)
_supervisor = default_registry.find_actor(SupervisorActor)


@dataclass(slots=True)
class Promised:
    """What clients were told: lines by worker, and who watches whom."""

    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    answered: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    refused: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    sent: Counter[str] = field(default_factory=Counter[str])
    watched: dict[str, str] = field(default_factory=dict[str, str])


class RunSummary:
    """Where everybody stands, on the disk."""

    def __init__(self, database: MemoryDatabase, promised: Promised) -> None:
        self._database = database
        self._promised = promised

    def check(self) -> None:
        """Everybody is where his supervisor says, and no word is lost or heard twice.

        Raises:
            Violated: with what does not hold.
        """
        rows = self._database.rows.values()
        for row in rows:
            if is_team(row):
                self._check_team(row)
            elif row.workflow == _worker.name:
                self._check_place(row)
                self._check_lines(row)
                self._check_reminders(row)
        for watcher, key in self._promised.watched.items():
            self._check_watch(watcher, key)

    def _check_team(self, row: RunRow) -> None:
        team = team_of(row)
        if row.status in CLOSED_STATUSES:
            up = [member.spec.target for member in team.members if member.status != "ended"]
            require(not up, f"{row.id} has stopped, and still has {up}")
            return
        require(team.status == "up", f"{row.id} is {team.status}: {team.error}")
        for member in team.members:
            name = f"{member.spec.target} of {row.id}"
            require(member.status in ("up", "ended"), f"{name} is {member.status}: {member.error}")
            is_counted = member.restarts == member.life - 1 or (
                team.past > 0 and member.restarts < member.life - 1
            )
            require(is_counted, f"{name}: {member.restarts} restarts, life {member.life}")
            self._check_member(row, member, name)

    def _check_member(self, row: RunRow, member: Member, name: str) -> None:
        found = self._database.rows.get(RunId(member.spec.target))
        require(found is not None, f"{name} is not there")
        if found is None:
            return
        is_closed = found.status in CLOSED_STATUSES
        if member.status == "ended" and not is_closed and self._is_elsewhere(found, row):
            return  # two teams wanted it, and this one may not try again
        require(is_closed == (member.status == "ended"), f"{name}: {member}, {found.status}")
        if is_closed:
            return
        if member.spec.kind == "actor":
            data = self._database.values(found.id, PLACE).get(PLACE)
            require(data is not None, f"{name} is up and has no place")
            if data is not None:
                place = decode_place(data)
                require(not place.down, f"{name} is {place.down}: {place.why}")
                require(place.supervisor == row.id, f"{name} is in {place.supervisor}")
                require(place.life == member.life, f"{name}: {place} and {member}")
                require(place.restart == member.spec.restart, f"{name}: {place} and {member}")
        elif member.spec.kind == "workflow":
            life = f"/{member.life}/"
            require(life in found.parent_key, f"{name}: {found.parent_key}, life {member.life}")
        else:
            team = team_of(found)
            require(team.above == row.id, f"{name} is in {team.above}")
            require(team.life == member.life, f"{name}: life {team.life} and {member.life}")

    def _is_elsewhere(self, found: RunRow, team: RunRow) -> bool:
        data = self._database.values(found.id, PLACE).get(PLACE)
        return data is not None and decode_place(data).supervisor != team.id

    def _check_place(self, row: RunRow) -> None:
        data = self._database.values(row.id, PLACE).get(PLACE)
        if data is None:
            return
        place = decode_place(data)
        require(row.status not in CLOSED_STATUSES, f"{row.id} has stopped in {place}")
        supervisor = self._database.rows[RunId(place.supervisor)]
        is_open = supervisor.status not in CLOSED_STATUSES
        names = [member.spec.target for member in team_of(supervisor).members]
        require(is_open and row.id in names, f"{row.id} is in {place}, which knows nothing of it")

    def _check_lines(self, row: RunRow) -> None:
        key = row.id.partition("/")[2]
        lines = _lines_of(_worker, row)
        letters = self._database.dead(row.id, 0, 1_000)
        # A sender that was not told may send again what became a dead letter with the stop,
        # and it may have been started again meanwhile, and stopped once more.
        buried: list[str] = []
        for letter in letters:
            line = _line_in(letter)
            if line and not self._is_sent_again(line, [*lines, *buried], letter):
                buried.append(line)
        ends = [*lines, *buried]
        require(len(ends) == len(set(ends)), f"{row.id}: a message ended twice: {sorted(ends)}")
        for line in self._promised.told.get(key, []):
            require(line in ends, f"{row.id} lost the acknowledged {line}")
        for line in self._promised.answered.get(key, []):
            require(line in lines, f"{row.id} lost the answered {line}")
        for line in self._promised.refused.get(key, []):
            require(line not in lines, f"{row.id} handled {line}, and refused it")
        for letter in letters:
            if letter.reason == "failed":
                if letter.error.startswith("the process died"):
                    # So many crashes of this simulation have hit it (seed 5405).
                    require(letter.attempts >= 2 * limits.CRASHES_MAX, f"{row.id}: {letter}")
                    continue
                require(letter.name in ("poison", "flaky"), f"{row.id} failed {letter}")
                require(letter.attempts <= _worker.attempts, f"{row.id} tried too often: {letter}")
            else:
                require(letter.reason == "closed", f"{row.id}: {letter}")

    def _is_sent_again(self, line: str, lines: Sequence[str], letter: DeadLetter) -> bool:
        is_again = self._promised.sent[line] > 1
        return letter.reason == "closed" and is_again and line in lines

    def _check_reminders(self, row: RunRow) -> None:
        reminders = Membership.read(self._database.values(row.id, REMINDER)).reminders
        mail = self._database.mail_of(row.id, 1_000)
        letters = [decode_letter(message.body) for message in mail if is_of_reminder(message)]
        # One of a reminder that another one has replaced is dropped when its turn comes, and has
        # none while the actor is down (seed 3651).
        pending = [
            letter.reminder
            for letter in letters
            if letter.reminder not in reminders or letter.token == reminders[letter.reminder].token
        ]
        wanted = list(reminders)
        require(sorted(pending) == sorted(wanted), f"{row.id}: {pending} of {wanted} are sent")
        require("poison" not in pending, f"{row.id} is reminded by a message that failed")

    def _check_watch(self, watcher: str, key: str) -> None:
        rows = self._database.rows
        told = _lines_of(_watcher, rows[RunId(f"{_watcher.name}/{watcher}")])
        target = rows[RunId(f"{_worker.name}/{key}")]
        require(len(told) <= 1, f"{watcher} was told {len(told)} times")
        if target.status in CLOSED_STATUSES:
            require(told == [target.id], f"{watcher} was never told that {target.id} stopped")


def is_team(row: RunRow) -> bool:
    return row.workflow == SUPERVISORS


def team_of(row: RunRow) -> Team:
    state = _supervisor.state.decode(row.output) if row.output else Team()
    require(isinstance(state, Team), f"{row.id} keeps {state!r}")
    return state if isinstance(state, Team) else Team()


def _lines_of(definition: ActorDefinition, row: RunRow) -> Sequence[str]:
    state = definition.state.decode(row.output) if row.output else Lines()
    return state.lines if isinstance(state, Lines) else []


def _line_in(letter: DeadLetter) -> str:
    """Return the line of a dead letter; those of reminders have none."""
    if letter.name not in _worker.handlers or letter.name in ("started", "tick"):
        return ""
    data = decode_letter(letter.body).args
    args, kwargs = _worker.handlers[letter.name].signature.decode(data)
    return str([*args, *kwargs.values()][0])


def is_of_reminder(message: Message) -> bool:
    return message.kind == "notice" and bool(decode_letter(message.body).reminder)
