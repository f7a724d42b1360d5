"""Whose turn it is: projects take turns, and within one the highest priority goes first, then the oldest job.

The next turn is that of the project with the fewest running jobs; of several, of the one whose last claim is longest ago. What is
told of the queue (places, forecasts) follows the same order, as if no running job ended meanwhile.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    Subquery,
    and_,
    func,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from app.config import get_settings
from app.job.models import Job
from app.job.states import JobStatus
from app.key.models import Project

LONGEST_QUEUE: Final = 1000
"""Places are counted up to here, which is quick in any queue."""
FIRST_COUNT: Final = 50
"""Jobs of each project are counted up to here first: where many projects wait, a place beyond ``LONGEST_QUEUE`` is reached before that."""
CHOOSING: Final = 0x74756E65
"""PostgreSQL's advisory lock of those that choose a job."""
LONGEST_CHOICE: Final = "2s"
"""Longer nobody waits for another one to choose: it may have been halted in the middle."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def choose_alone(session: Session) -> None:
    """Until the transaction ends nobody else chooses, so that each sees what the others took.

    On SQLite every transaction that writes is alone. Whoever holds this up is not waited for: ``SKIP LOCKED`` keeps the claims of
    two apart, and only their order and the projects' limits may then be off by one.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    with suppress(OperationalError), session.begin_nested():
        session.execute(text(f"SET LOCAL lock_timeout = '{LONGEST_CHOICE}'"))
        session.execute(select(func.pg_advisory_xact_lock(CHOOSING)))
        session.execute(text("SET LOCAL lock_timeout = DEFAULT"))


def in_order(session: Session, *, fits: Collection[ColumnElement[bool]]) -> Sequence[str]:
    """Projects with a job for which all of ``fits`` holds, the one whose turn it is first; none that runs as many as it may."""
    waiting = _projects_that_wait()
    project = waiting.c.project_id
    head = best_of(project, fits=fits).limit(1).correlate(waiting).scalar_subquery()
    running, claimed_at = _num_running(project), _last_claim(project)
    query = select(project).where(project.is_not(None), head.is_not(None), may_run_more(project))
    return session.scalars(query.order_by(running, claimed_at.asc().nulls_first(), project)).all()


def may_run_more(project: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the project runs fewer jobs than it may. Counts them: to be asked of projects, not of each job."""
    most = _most_running(project)
    return or_(most.is_(None), _num_running(project) < most)


def best_of(project: ColumnElement[str] | str, *, fits: Collection[ColumnElement[bool]] = ()) -> Select[str]:
    """Ids of the project's waiting jobs, in the order in which they are claimed."""
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, Job.project_id == project, *fits)
    return query.order_by(Job.priority.desc(), Job.id)


def _projects_that_wait() -> Subquery:
    """Each once, by a jump in the index from one to the next; the last row is NULL."""
    first = select(func.min(Job.project_id).label("project_id")).where(Job.status == JobStatus.QUEUED)
    found = first.cte("waiting", recursive=True)
    other = aliased(Job)
    following = (
        select(func.min(other.project_id))
        .where(other.status == JobStatus.QUEUED, other.project_id > found.c.project_id)
        .correlate(found)
        .scalar_subquery()
    )
    return found.union_all(select(following).where(found.c.project_id.is_not(None)))  # type: ignore[return-value] # a CTE


def _num_running(project: ColumnElement[str]) -> ScalarSelect[int]:
    count = select(func.count()).select_from(Job)
    return count.where(Job.status == JobStatus.RUNNING, Job.project_id == project).scalar_subquery()


def _most_running(project: ColumnElement[str]) -> ColumnElement[int | None]:
    """Its limit, or that of the settings; NULL without one."""
    own = select(Project.limits["max_running_jobs"].as_integer()).where(Project.id == project).scalar_subquery()
    return func.coalesce(own, get_settings().max_running_jobs)


def _last_claim(project: ColumnElement[str]) -> ScalarSelect[datetime | None]:
    return select(func.max(Job.claimed_at)).where(Job.project_id == project).scalar_subquery()


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """Of a project that has waiting jobs."""

    running: int
    waiting: int
    is_cut: bool
    """Whether more may wait than were counted."""
    among_equals: tuple[int, datetime, str]
    """Who has this less goes first, of projects that have as many running jobs by then: those that have had them for longer."""

    def before(self, number: int, *, of: "_Standing") -> int:
        """How many of its jobs are claimed before that project's nth, of those that were counted."""
        return min(self.waiting, max(0, self._turns(number, of=of)))

    def is_short(self, number: int, *, of: "_Standing") -> bool:
        """Whether it may be more than ``before`` says."""
        return self.is_cut and self._turns(number, of=of) > self.waiting

    def _turns(self, number: int, *, of: "_Standing") -> int:
        level = of.running + number - self.running
        return level if self.among_equals < of.among_equals else level - 1


def _standings(session: Session, *, most: int) -> dict[str, _Standing]:
    """Of all projects with waiting jobs, of which ``most`` are counted of each."""
    waiting = _projects_that_wait()
    project = waiting.c.project_id
    jobs = select(Job.id).where(Job.status == JobStatus.QUEUED, Job.project_id == project).limit(most)
    counted = select(func.count()).select_from(jobs.correlate(waiting).subquery()).scalar_subquery()
    query = select(project, _num_running(project), counted, _last_claim(project))
    return {
        name: _Standing(
            running=running, waiting=count, is_cut=count == most, among_equals=(-running, claimed_at or _NEVER, name)
        )
        for name, running, count, claimed_at in session.execute(query.where(project.is_not(None)))
    }


def places(session: Session, jobs: Collection[Job]) -> dict[str, int]:
    """By waiting job: 1 is the one that is claimed next; beyond ``LONGEST_QUEUE`` one more than that."""
    waiting = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not waiting:
        return {}
    projects = {job.project_id for job in waiting}
    tries = (_places_by_project(projects, _standings(session, most=most)) for most in (FIRST_COUNT, LONGEST_QUEUE))
    by_project = next(found for found in tries if found is not None)  # the second tells every place that is told
    found = {job.id: LONGEST_QUEUE + 1 for job in waiting}
    for project, by_number in by_project.items():
        ids = session.scalars(best_of(project).limit(len(by_number)))
        found |= {job_id: place for job_id, place in zip(ids, by_number, strict=False) if job_id in found}
    return found


def _places_by_project(projects: Collection[str], standings: Mapping[str, _Standing]) -> dict[str, list[int]] | None:
    """Of each project's first job, its second, and so on, up to ``LONGEST_QUEUE``; None if too few jobs were counted to tell."""
    found: dict[str, list[int]] = {}
    for project in projects & standings.keys():
        own = standings[project]
        others = [standing for name, standing in standings.items() if name != project]
        found[project] = by_number = []
        for number in range(1, own.waiting + 1):
            place = number + sum(other.before(number, of=own) for other in others)
            if place > LONGEST_QUEUE:
                break
            if any(other.is_short(number, of=own) for other in others):
                return None
            by_number.append(place)
        else:
            if own.is_cut and own.waiting < LONGEST_QUEUE:
                return None
    return found


def before(session: Session, job: Job, *, limit: int) -> list[Job] | None:
    """The jobs that are claimed before this waiting one, in that order; None if there are more than ``limit``."""
    goes_first = or_(Job.priority > job.priority, and_(Job.priority == job.priority, Job.id < job.id))
    own_before = session.scalars(best_of(job.project_id, fits=[goes_first]).limit(limit + 1)).all()
    standings = _standings(session, most=limit + 1)
    own = standings.get(job.project_id)
    if own is None:  # it was claimed just now
        return []
    number = len(own_before) + 1
    counts = {name: one.before(number, of=own) for name, one in standings.items()} | {job.project_id: number - 1}
    counts = {name: count for name, count in counts.items() if count}
    if sum(counts.values()) > limit:
        return None
    if not counts:
        return []
    firsts = [best_of(name).limit(count).subquery() for name, count in counts.items()]
    ids = union_all(*(select(first.c.id) for first in firsts))
    claimed: list[tuple[tuple[int, tuple[int, datetime, str]], Job]] = []
    numbers = dict.fromkeys(counts, 0)
    for other in session.scalars(select(Job).where(Job.id.in_(ids)).order_by(Job.priority.desc(), Job.id)):
        standing = standings[other.project_id]
        numbers[other.project_id] += 1
        claimed.append(((standing.running + numbers[other.project_id], standing.among_equals), other))
    return [other for _, other in sorted(claimed, key=lambda pair: pair[0])]
