"""``client.jobs``: submit, watch, stop."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from app.client import data_files, following, pages
from app.client.address import segment
from app.client.errors import JobDidNotSucceed
from app.client.files import FileLike
from app.client.following import JobEvent, JobState, Outage
from app.client.models import ModelLike
from app.client.operation import Resource, TransportT, as_json, id_of, iteration, operation, read
from app.job.schemas import CheckpointOut, DeletedJobOut, EventOut, JobOut, MetricOut, ValidationOut

JobLike = str | JobOut
"""A job's id, or the job."""
DataLike = str | PathLike[str] | FileLike
"""A path, which is uploaded first, the id of an uploaded file, the file, or of a Hub data set the name of a split."""
Update = JobEvent[EventOut] | JobState[JobOut] | Outage


@dataclass(frozen=True)
class LogLine:
    attempt: int | None
    text: str


class Jobs(Resource[TransportT]):
    """Fine-tuning, predictions of whole files, and exports."""

    @operation
    async def submit(
        self,
        /,
        *,
        model: str | ModelLike,
        train: DataLike | None = None,
        validation: DataLike | float | None = None,
        test: DataLike | None = None,
        idempotency_key: str | None = None,
        **spec: Any,
    ) -> JobOut:
        """Fine-tune a model; ``spec`` are the other fields of docs/api.md, such as ``training={"num_train_epochs": 3}``.

        ``validation`` may be a fraction of the training data. However often the request is sent (a broken connection is tried
        again), it makes one job. Raises InvalidRequest, NotFound, LocalFileError.
        """
        body = await self._body(model, train=train, validation=validation, test=test, spec=spec)
        return read(JobOut, await self._connection.make_job("/jobs", body, idempotency_key=idempotency_key))

    @operation
    async def validate(
        self,
        /,
        *,
        model: str | ModelLike,
        train: DataLike | None = None,
        validation: DataLike | float | None = None,
        test: DataLike | None = None,
        **spec: Any,
    ) -> ValidationOut:
        """What ``submit`` would make of it: the spec with what was chosen for ``"auto"``, and warnings; nothing is stored but files."""
        body = await self._body(model, train=train, validation=validation, test=test, spec=spec)
        answer = await self._connection.post("/jobs", body, is_repeatable=True, validate_only="true")
        return read(ValidationOut, answer)

    async def _body(
        self, model: str | ModelLike, *, train: Any, validation: Any, test: Any, spec: Mapping[str, Any]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": id_of(model), **as_json(dict(spec))}
        given = {"train": train, "validation": validation, "test": test}
        given = {split: value for split, value in given.items() if value is not None}
        dataset = dict(body.get("dataset", {}))
        splits = data_files.tell_apart(given, of_hub=dataset.get("name") is not None)
        uploaded = await data_files.upload_splits(self._connection, splits)
        files = {split: uploaded[path]["id"] for split, path in splits.paths.items()}
        return {**body, "dataset": {**dataset, **splits.chosen, **files}}

    @operation
    async def get(self, job: JobLike) -> JobOut:
        """The job as it stands."""
        return read(JobOut, await self._connection.get(_path(job)))

    @iteration
    async def list(
        self,
        *,
        status: str | None = None,
        kind: str | None = None,
        metadata: Mapping[str, str] | None = None,
        after: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[JobOut]:
        """All jobs, or those with such a status, kind and metadata, newest first; pages are asked for as they are needed."""
        notes = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        found = pages.items(
            self._connection, "/jobs", page_size=page_size, after=after, status=status, kind=kind, **notes
        )
        async for item in found:
            yield read(JobOut, item)

    @iteration
    async def follow(self, job: JobLike) -> AsyncIterator[Update]:
        """Every event from the first, once and in order, and the job about once a second; ends with the job's last state.

        A server that goes away for a while is waited for, and told of as an ``Outage``; events go on from the last one that was
        seen. Raises ConnectionFailed when it stays away.
        """
        updates = following.follow(self._connection, id_of(job))
        try:
            async for update in updates:
                match update:
                    case JobEvent(event):
                        yield JobEvent(read(EventOut, event))
                    case JobState(state, loss):
                        yield JobState(read(JobOut, state), loss)
                    case Outage():
                        yield update
        finally:
            await updates.aclose()

    @operation
    async def wait(self, job: JobLike, *, timeout_seconds: float | None = None, check: bool = True) -> JobOut:
        """The job once it has ended. Raises JobDidNotSucceed if it failed or was cancelled, unless ``check`` is false; WaitedTooLong."""
        ended = read(JobOut, await following.wait(self._connection, id_of(job), timeout_seconds=timeout_seconds))
        if check and ended.status != "succeeded":
            error = ended.error
            raise JobDidNotSucceed(
                f"{ended.id} was {ended.status}." if error is None else f"{ended.id} has failed: {error.message}",
                job=ended,
                code=None if error is None else error.code,
                hint=None if error is None else error.hint,
            )
        return ended

    @operation
    async def cancel(self, job: JobLike) -> JobOut:
        """End a job without a result; a running one stops within seconds. Raises Conflict if it is over."""
        return await self._request(job, "cancel")

    @operation
    async def pause(self, job: JobLike) -> JobOut:
        """Keep a job from running; a running one writes a checkpoint first."""
        return await self._request(job, "pause")

    @operation
    async def resume(self, job: JobLike) -> JobOut:
        """Let a paused job go on from its checkpoint, to the same weights."""
        return await self._request(job, "resume")

    @operation
    async def stop(self, job: JobLike) -> JobOut:
        """Train no further, and publish the best model so far."""
        return await self._request(job, "stop")

    async def _request(self, job: JobLike, action: str) -> JobOut:
        return read(JobOut, await self._connection.post(f"{_path(job)}/{action}", is_repeatable=True))

    @operation
    async def retry(self, /, job: JobLike, *, idempotency_key: str | None = None, **changes: Any) -> JobOut:
        """A new job from what was sent for one that is over, with the changes merged into it."""
        path = f"{_path(job)}/retry"
        document = await self._connection.make_job(path, as_json(changes), idempotency_key=idempotency_key)
        return read(JobOut, document)

    @operation
    async def delete(self, job: JobLike, *, with_results: bool = False) -> DeletedJobOut:
        """Delete a job that is over, with its events, metrics, checkpoints and logs; ``with_results``: its model and files too.

        Raises Conflict while it is not over, or if a job that has not ended needs a result that is to go.
        """
        chosen = "delete" if with_results else "keep"
        return read(DeletedJobOut, await self._connection.delete(_path(job), results=chosen))

    @iteration
    async def events(self, job: JobLike) -> AsyncIterator[EventOut]:
        """What has happened until now, oldest first."""
        async for item in pages.items(self._connection, f"{_path(job)}/events", page_size=1000):
            yield read(EventOut, item)

    @iteration
    async def metrics(self, job: JobLike, *, names: Sequence[str] | None = None) -> AsyncIterator[MetricOut]:
        """Every value of every metric until now, or of those names, by step."""
        async for item in pages.items(self._connection, f"{_path(job)}/metrics", page_size=1000):
            if names is None or item["name"] in names:
                yield read(MetricOut, item)

    @operation
    async def checkpoints(self, job: JobLike) -> Sequence[CheckpointOut]:
        """Newest first."""
        page = await self._connection.get(f"{_path(job)}/checkpoints")
        return [read(CheckpointOut, item) for item in page["data"]]

    @iteration
    async def logs(self, job: JobLike, *, follow: bool = False, node: int = 0) -> AsyncIterator[LogLine]:
        """What the job's trainer wrote, attempt by attempt; with ``follow`` until the job has ended.

        ``node``: of a job of several nodes, whose trainer; 0 leads.
        """
        async for attempt, text in pages.log_lines(self._connection, id_of(job), to_the_end=follow, node=node):
            yield LogLine(attempt, text)


def _path(job: JobLike) -> str:
    return f"/jobs/{segment(id_of(job))}"
