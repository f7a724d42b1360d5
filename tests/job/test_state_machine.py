"""The life of jobs as a machine: whatever happens in whatever order, and however often, what must hold holds.

Claims, heartbeats, crashes, losses, drains and successes of attempts that may long have lost their claim; cancel, pause, resume and
stop at any time; writes that fail half-way. On SQLite and PostgreSQL.
"""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, update

from app.db import now, reading, transaction
from app.errors import Conflict
from app.job import lifecycle, repository, requests
from app.job.lifecycle import ClaimLost
from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.verify.jobs import check_job
from tests.job.conftest import insert_job


def succeed(session, claim):
    """With the one step that it has done in the ledger."""
    lifecycle.write(session, claim, progress={"step": 1})
    attempt = repository.attempt(session, claim)
    attempt.resumed_from_step, attempt.last_step = 0, 1
    lifecycle.succeed(session, claim, model_id="ft:x")


def crash(session, claim):
    lifecycle.crashed(session, claim, code="trainer_crashed", message="It died.")


def fail(session, claim):
    lifecycle.fail(session, claim, error={"code": "x", "message": "It failed."})


def break_off(session, claim, ending):
    """The database goes away when everything is written and nothing committed."""
    ENDINGS[ending](session, claim)
    session.flush()
    raise Broken


ENDINGS = {
    "drained": lifecycle.drained,
    "cancelled": lifecycle.cancelled,
    "crashed": crash,
    "failed": fail,
    "succeeded": succeed,
}
ASKING = {"cancel": requests.cancel, "pause": requests.pause, "resume": requests.resume, "stop": requests.stop}


class Broken(Exception):
    """The database went away in the middle of a transaction."""


class Jobs(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    claims = Bundle("claims")
    """Rights to write that attempts believe they have; most of them are lost."""

    def __init__(self):
        super().__init__()
        with transaction() as session:
            session.execute(delete(Job))
        self.tokens: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.to_be_cancelled: set[str] = set()
        self.live: dict[str, object] = {}
        """By job: the claim that holds, by what the answers to the attempts said."""

    @rule(target=jobs, priority=st.integers(-1, 1))
    def submit(self, priority):
        return insert_job(priority=priority)

    @rule(target=claims)
    def claim(self):
        with transaction() as session:
            claimed = lifecycle.claim_next(session, worker_id="worker-a")
        if claimed is None:
            return multiple()
        claim = claimed.claim
        assert claim.job_id not in self.live, "two attempts have the same job"
        assert claim.token > self.tokens.get(claim.job_id, 0), "a token that was there before"
        self.tokens[claim.job_id] = claim.token
        self.live[claim.job_id] = claim
        return claim

    @rule(claim=claims)
    def heartbeat(self, claim):
        with transaction() as session:
            self.expect(claim, lambda: lifecycle.write(session, claim, progress={"step": 1}))

    @rule(claim=claims, ending=st.sampled_from(sorted(ENDINGS)))
    def end(self, claim, ending):
        """Also one that has ended already, or has lost its job: it then changes nothing."""
        if self.live.get(claim.job_id) is not claim:
            with pytest.raises(ClaimLost), transaction() as session:
                ENDINGS[ending](session, claim)
            return
        with transaction() as session:
            ENDINGS[ending](session, claim)
        del self.live[claim.job_id]

    @rule(claim=consumes(claims), ending=st.sampled_from(sorted(ENDINGS)))
    def end_while_the_database_breaks(self, claim, ending):
        before = self.row(claim.job_id)
        with pytest.raises((Broken, ClaimLost)), transaction() as session:
            break_off(session, claim, ending)
        assert self.row(claim.job_id) == before, "half a transaction was kept"
        if self.live.get(claim.job_id) is claim:  # nobody speaks for it any more
            self.lose(claim.job_id)

    @rule(job=jobs)
    def lose(self, job):
        """Its worker is gone; the sweep finds it, twice."""
        with transaction() as session:
            session.execute(
                update(Job)
                .where(Job.id == job, Job.status == JobStatus.RUNNING)
                .values(lease_until=now(session) - timedelta(seconds=1))
            )
        for _ in range(2):
            with transaction() as session:
                for expired in repository.expired(session, now=now(session)):
                    assert lifecycle.lost(session, expired, reason="Its worker was lost.")
                    self.live.pop(expired.id, None)

    @rule(job=jobs, asked=st.sampled_from(sorted(ASKING)))
    def ask(self, job, asked):
        try:
            answer = ASKING[asked](job)
        except Conflict:
            return
        if asked == "cancel":
            self.to_be_cancelled.add(job)
            assert answer.status == "cancelled" or answer.request.action == "cancel"

    @rule(job=jobs)
    def evaluate(self, job):
        """It has a best checkpoint now, which makes stopping possible while it waits."""
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job).values(best_metrics={"step": 1}))

    @rule(job=jobs)
    def let_time_pass(self, job):
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job).values(not_before=now(session)))

    @invariant()
    def what_must_hold_holds(self):
        with reading() as session:
            for job_id in self.tokens.keys() | self.ended.keys():
                job = repository.get(session, job_id)
                assert list(check_job(session, job, moment=now(session))) == []
                assert (job.status == JobStatus.RUNNING) == (job_id in self.live)
                assert job.token == self.tokens.get(job_id, 0)
                if job.status == JobStatus.PAUSED:
                    assert job.request is None, "it would pause again as soon as it ran"
                if job_id in self.to_be_cancelled and JobStatus(job.status) not in TERMINAL:
                    assert (job.status, job.request) == ("running", "cancel"), "a cancel was forgotten"
                if job_id in self.ended:
                    assert job.status == self.ended[job_id], "it has come back from its end"
                elif JobStatus(job.status) in TERMINAL:
                    self.ended[job_id] = job.status

    def expect(self, claim, write):
        """The write succeeds if and only if the claim holds."""
        if self.live.get(claim.job_id) is claim:
            write()
        else:
            with pytest.raises(ClaimLost):
                write()

    def row(self, job_id):
        with reading() as session:
            job = repository.get(session, job_id)
            return {
                column.name: getattr(job, column.key) for column in Job.__mapper__.columns if column.name != "metadata"
            }

    def teardown(self):
        """No job is stuck: asked to go on, and with workers enough, each comes to an end."""
        for job_id in self.tokens.keys() - self.ended.keys():
            with reading() as session:
                paused = repository.get(session, job_id).status == JobStatus.PAUSED
            if paused:
                requests.resume(job_id)
            self.let_time_pass(job_id)
        for claim in list(self.live.values()):
            self.end(claim, "drained")
        for _ in range(100):
            with transaction() as session:
                claimed = lifecycle.claim_next(session, worker_id="worker-z")
                if claimed is None:
                    break
                succeed(session, claimed.claim)
        with reading() as session:
            for job_id in self.tokens:
                status = JobStatus(repository.get(session, job_id).status)
                assert status in TERMINAL | {JobStatus.PAUSED}, "it was asked to pause while it ended"


def test_whatever_happens_what_must_hold_holds(database):
    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
