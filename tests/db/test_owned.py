"""No query of a caller's sees, changes or counts a row of another project, however it is written."""

import re
from pathlib import Path

import pytest
from sqlalchemy import delete, exists, func, inspect, select, update
from sqlalchemy.orm import aliased

from app import caller
from app.audit.models import AuditEvent
from app.caller import Caller
from app.db import Base, Owned, OwnedOrShared, SchemaSupport, reading, transaction
from app.job import repository
from app.job.models import Checkpoint, IdempotencyKey, Job, JobEvent, MetricPoint, PartOfJob, WorkerPresence
from app.key.models import ApiKey, Project
from app.metrics.models import StoredTally
from app.model.models import Model
from app.spec.kinds import JobKind
from app.study.models import Study, Trial
from app.webhook.models import Webhook, WebhookDelivery
from tests.key.rows import make_one_of_each

ROOT = Path(__file__).parents[2]
OURS, THEIRS = Caller(project_id="proj-ours"), Caller(project_id="proj-theirs")
OF_THE_SERVICE = {WorkerPresence, ApiKey, Project, SchemaSupport, StoredTally, AuditEvent}
MAPPED = {mapper.class_ for mapper in Base.registry.mappers}
OWNED = sorted(MAPPED - OF_THE_SERVICE, key=lambda cls: cls.__name__)


def test_every_table_is_owned_part_of_something_owned_or_the_services_own():
    owned = {cls for cls in MAPPED if issubclass(cls, Owned | OwnedOrShared | PartOfJob)} | {Trial, WebhookDelivery}
    assert owned == set(OWNED)


def test_nothing_of_the_application_writes_sql_that_is_not_looked_at():
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "worker")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(
            r"__table__|exec_driver_sql|\.connection\(\)|^from sqlalchemy import .*\btext\b",
            path.read_text(),
            re.MULTILINE,
        )
    }
    assert found == {"app/db/engine.py", "app/db/schema.py"}, "only what concerns no row"


@pytest.fixture
def rows(database):
    """Of both projects, by caller."""
    return {who: make_one_of_each(who.project_id) for who in (OURS, THEIRS)}


def test_each_sees_its_own_rows_of_every_table_and_the_service_all(rows):
    for cls in OWNED:
        for who, seen in ((OURS, 1), (THEIRS, 1), (None, 2), (Caller(project_id=""), 0)):
            with caller.acting_for(who), reading() as session:
                assert len(session.scalars(select(cls)).all()) == seen, cls
                assert session.scalar(select(func.count()).select_from(cls)) == seen, cls
                assert session.scalar(select(func.count()).select_from(aliased(cls))) == seen, cls


def test_a_row_of_another_project_is_not_there_when_it_is_asked_for_by_its_id(rows):
    with caller.acting_for(None), reading() as session:
        keys = {cls: inspect(cls).primary_key_from_instance(row) for cls in OWNED for row in session.scalars(select(cls))
                if not isinstance(row, Owned | OwnedOrShared) or row.project_id == "proj-theirs"}  # fmt: skip
        keys |= {Job: [rows[THEIRS]["job"]]}
    for cls, key in keys.items():
        theirs = tuple(key) if len(key) > 1 else key[0]
        with caller.acting_for(OURS), transaction() as session:
            assert session.get(cls, theirs) is None
            assert session.get(cls, theirs, with_for_update=True) is None
            assert session.get(cls, theirs, populate_existing=True) is None
        with caller.acting_for(THEIRS), reading() as session:
            assert session.get(cls, theirs) is not None


def test_nothing_of_another_project_is_changed_or_deleted(rows):
    changes = {Job: {"priority": 9}, Checkpoint: {"state": "gone"}, Webhook: {"url": "x"}, Trial: {"value": 1.0},
               Model: {"task": "x"}, WebhookDelivery: {"event": "x"}, JobEvent: {"message": "x"}, Study: {"best_number": 1}}  # fmt: skip
    for cls, values in changes.items():
        with caller.acting_for(OURS), transaction() as session:
            assert session.execute(update(cls).values(**values)).rowcount == 1, cls
    for cls in (WebhookDelivery, Trial, Checkpoint, JobEvent, IdempotencyKey, Webhook, Model):
        with caller.acting_for(OURS), transaction() as session:
            assert session.execute(delete(cls)).rowcount == 1, cls
        with caller.acting_for(None), reading() as session:
            assert session.scalar(select(func.count()).select_from(cls)) == 1, cls


def test_joins_subqueries_and_aliases_see_no_further(rows):
    other = aliased(Job)
    queries = [
        (select(Job.id), "id"),
        (select(Checkpoint.job_id).join(Job), "join"),
        (select(other.id), "alias"),
        (select(Trial.job_id).outerjoin(Job, Job.id == Trial.job_id), "outer join"),
        (select(Job.id).where(Job.id.in_(select(MetricPoint.job_id))), "in"),
        (select(Job.id).where(exists().where(MetricPoint.job_id == Job.id)), "exists"),
        (select(select(Job.id).subquery().c.id), "subquery"),
        (select(func.max(JobEvent.job_id)), "aggregate"),
        (select(Job.id).union_all(select(Model.job_id)), "union"),
    ]
    for who in (OURS, THEIRS):
        for query, name in queries:
            with caller.acting_for(who), reading() as session:
                assert set(session.scalars(query)) == {rows[who]["job"]}, name


def test_what_is_made_belongs_to_whom_it_was_made_for(rows):
    for who in (OURS, THEIRS):
        with reading() as session:
            for cls, noun in ((Job, "job"), (Model, "model"), (Study, "sweep"), (Webhook, "webhook")):
                assert session.get_one(cls, rows[who][noun]).project_id == who.project_id


def test_a_page_of_a_projects_jobs_is_found_without_sorting_or_going_through_those_of_others(database):
    from app.db import get_engine

    for asked, index in (
        ({}, "ix_jobs_project"),
        ({"status": "succeeded"}, "ix_jobs_project_status"),
        ({"kind": "export"}, "ix_jobs_project_kind"),
    ):
        plans = []
        with caller.acting_for(OURS), transaction() as session:
            connection = session.connection()
            is_sqlite = get_engine().dialect.name == "sqlite"
            if not is_sqlite:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            prefix = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
            seen = Explained(session, prefix, plans)
            repository.page(seen, **({"status": None, "kind": None} | asked), metadata={}, after=None, limit=20)
        [plan] = plans
        assert index in plan, plan
        assert ("USE TEMP B-TREE" if is_sqlite else "Sort") not in plan


def test_jobs_that_succeeded_last_are_found_without_going_through_those_that_wait(database):
    from app.db import get_engine

    plans = []
    with transaction() as session:
        is_sqlite = get_engine().dialect.name == "sqlite"
        if not is_sqlite:
            session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
        seen = Explained(session, "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ", plans)
        repository.succeeded_last(seen, kind=JobKind.TRAINING, limit=100)
    [plan] = plans
    assert "ix_jobs_counts" in plan, plan
    assert ("USE TEMP B-TREE" if is_sqlite else "Sort") not in plan


class Explained:
    """A session that explains a query, with the conditions that go with it, instead of asking it."""

    def __init__(self, session, prefix, plans):
        self.session, self.prefix, self.plans = session, prefix, plans

    def scalars(self, query):
        from sqlalchemy import event

        def explain(connection, cursor, statement, parameters, context, executemany):
            cursor.execute(self.prefix + statement, parameters)
            self.plans.append(str(cursor.fetchall()))
            return statement, parameters

        engine = self.session.connection()
        event.listen(engine, "before_cursor_execute", explain, retval=True)
        try:
            return self.session.scalars(query)
        finally:
            event.remove(engine, "before_cursor_execute", explain)
