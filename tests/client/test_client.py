"""The Python client against the API on a real port."""

import asyncio
import gc
import json
import threading
import time

import pytest

from app.client import (
    AsyncTunery,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    JobDidNotSucceed,
    JobEvent,
    JobState,
    LocalFileError,
    LogLine,
    NotFound,
    Tunery,
    TuneryError,
    WaitedTooLong,
)
from app.db import transaction
from app.file.schemas import FileOut
from app.job import events, requests
from app.job.schemas import JobOut
from app.job.states import JobStatus
from app.model.schemas import ModelDetailOut
from app.spec.job import JobSpec
from app.spec.training import TrainingSpec
from tests.hub.builders import bert_folder
from tests.job.conftest import insert_job

ROWS = b"".join(json.dumps({"text": f"text {n}", "label": n % 2}).encode() + b"\n" for n in range(20))


@pytest.fixture
def model(tunery, tmp_path):
    return tunery.models.add("tiny", bert_folder(tmp_path / "tiny"))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(ROWS)
    return path


def test_a_file_is_uploaded_listed_read_and_deleted(tunery, data, tmp_path):
    file = tunery.files.upload(data)
    assert isinstance(file, FileOut)
    assert (file.filename, file.num_rows) == ("data.jsonl", 20)
    other = tunery.files.upload(ROWS, filename="other.jsonl")
    assert [found.id for found in tunery.files.list(page_size=1)] == [other.id, file.id]
    assert tunery.files.get(file.id).profile.column("label").kinds.keys() == {"integer"}
    assert tunery.files.content(file) == ROWS
    assert tunery.files.download(file, tmp_path / "copy").read_bytes() == ROWS
    assert tunery.files.delete(other).deleted
    with pytest.raises(NotFound):
        tunery.files.get(other)


def test_bad_data_is_an_error_that_names_file_and_row(tunery, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(ROWS + b'{"text": \n')
    with pytest.raises(InvalidRequest) as raised:
        tunery.files.upload(path)
    error = raised.value
    assert (error.code, error.param, error.status, error.problems[0].row) == ("invalid_json", "file", 422, 21)
    assert error.request_id.startswith("req_")
    assert error.__notes__ == [f"in {path}"]
    with pytest.raises(LocalFileError, match="There is no file"):
        tunery.files.upload(tmp_path / "no.jsonl")


def test_a_job_is_submitted_from_paths_files_and_objects(tunery, model, data):
    job = tunery.jobs.submit(
        model=model,
        train=data,
        validation=0.25,
        training=TrainingSpec(max_steps=3),
        metadata={"team": "nlp"},
        suffix="mine",
    )
    assert isinstance(job, JobOut)
    assert isinstance(job.spec, JobSpec)
    assert (job.status, job.spec.model, job.spec.training.max_steps) == ("queued", "tiny", 3)
    assert job.spec.dataset.validation == 0.25
    file = tunery.files.get(job.spec.dataset.train)
    again = tunery.jobs.submit(model="tiny", train=file, test=file.id, training={"learning_rate": 1e-4})
    assert (again.spec.dataset.train, again.spec.dataset.test) == (file.id, file.id)
    assert [found.id for found in tunery.jobs.list(metadata={"team": "nlp"}, page_size=1)] == [job.id]
    assert [found.id for found in tunery.jobs.list(status="queued", page_size=1)] == [again.id, job.id]
    with pytest.raises(InvalidRequest, match=r"did you mean training\.learning_rate"):
        tunery.jobs.submit(model="tiny", train=file, training={"learning_rat": 1})
    with pytest.raises(LocalFileError) as raised:
        tunery.jobs.submit(model="tiny", train="no-such-file.jsonl")
    assert raised.value.param == "train"


def test_a_spec_is_checked_without_a_job(tunery, model, data):
    checked = tunery.jobs.validate(model=model, train=data)
    assert checked.spec.training.num_train_epochs == 3
    assert list(tunery.jobs.list()) == []


def test_what_is_asked_of_a_job(tunery, model, data):
    job = tunery.jobs.submit(model=model, train=data)
    assert tunery.jobs.pause(job).status == "paused"
    assert tunery.jobs.resume(job.id).status == "queued"
    assert tunery.jobs.cancel(job).status == "cancelled"
    with pytest.raises(Conflict):
        tunery.jobs.pause(job)
    again = tunery.jobs.retry(job, training={"max_steps": 7})
    assert (again.retry_of, again.spec.training.max_steps) == (job.id, 7)
    assert [event.number for event in tunery.jobs.events(job)] == list(range(1, 5))
    assert list(tunery.jobs.metrics(job)) == []
    assert list(tunery.jobs.checkpoints(job)) == []
    assert list(tunery.jobs.logs(job)) == []


def test_the_log_of_another_node_is_asked_for_by_its_number(tunery, sqlite_home):
    spec = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}, "resources": {"nodes": 2, "processes": 2}}
    job_id = insert_job(status=JobStatus.SUCCEEDED, attempt=1, spec=spec)
    folder = sqlite_home / "jobs" / job_id / "attempt-1" / "node-1"
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("follows\n")
    assert list(tunery.jobs.logs(job_id, node=1)) == [LogLine(1, "follows")]
    assert list(tunery.jobs.logs(job_id, follow=True)) == []
    with pytest.raises(InvalidRequest, match="there is no node 2"):
        list(tunery.jobs.logs(job_id, node=2))


def test_a_job_that_did_not_succeed_is_an_error_with_the_job(tunery):
    job_id = insert_job()
    with pytest.raises(WaitedTooLong):
        tunery.jobs.wait(job_id, timeout_seconds=0.05)
    threading.Timer(0.2, requests.cancel, [job_id]).start()
    with pytest.raises(JobDidNotSucceed, match="was cancelled") as raised:
        tunery.jobs.wait(job_id)
    assert raised.value.job.id == job_id
    assert tunery.jobs.wait(job_id, check=False).status == "cancelled"


def test_models_are_listed_downloaded_and_deleted(tunery, model, tmp_path):
    assert [found.id for found in tunery.models.list()] == ["tiny"]
    found = tunery.models.get(model)
    assert isinstance(found, ModelDetailOut)
    folder = tunery.models.download(model, tmp_path / "copy")
    assert {path.name for path in folder.iterdir()} == {file.name for file in found.files}
    assert tunery.models.add("tiny", folder).weights_sha256 == model.weights_sha256
    with pytest.raises(LocalFileError, match="not empty"):
        tunery.models.download(model, folder)
    assert tunery.models.delete(model).deleted
    with pytest.raises(LocalFileError, match="pickle"):
        tunery.models.add("tiny", tmp_path)


def test_a_question_about_nothing_is_the_servers_to_refuse(tunery):
    with pytest.raises(InvalidRequest) as raised:
        tunery.predict("ftjob-x", [])
    assert raised.value.param == "inputs"


def test_what_a_newer_server_adds_is_no_error(tunery):
    from app.client.operation import read

    job = tunery._connection.transport.run(tunery._connection.get(f"/jobs/{insert_job()}"))
    job["spec"]["dataset"]["brand_new"] = job["spec"]["brand_new"] = job["brand_new"] = 1
    assert read(JobOut, job).spec.model == "tiny"


def test_a_job_whose_answer_was_lost_is_made_once(tunery, proxy, model, data):
    file = tunery.files.upload(data)
    proxy.num_to_lose = 2
    with Tunery(proxy.url) as client:
        job = client.jobs.submit(model=model, train=file)
    sent = [headers["idempotency-key"] for method, _, headers in proxy.seen if method == "POST"]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert [found.id for found in tunery.jobs.list()] == [job.id]


def test_what_may_not_be_repeated_is_not(tunery, proxy, data):
    proxy.num_to_lose = 1
    with Tunery(proxy.url) as client, pytest.raises(ConnectionFailed) as raised:
        client.files.upload(data)
    assert raised.value.code == "broken"
    assert len(list(tunery.files.list())) == 1  # it was done, and not done twice


def test_a_question_is_repeated_and_given_up_in_the_end(proxy):
    with Tunery(proxy.url, max_retries=1) as client:
        proxy.num_to_lose = 1
        assert list(client.jobs.list()) == []
        proxy.num_to_lose = 2
        with pytest.raises(ConnectionFailed):
            list(client.jobs.list())


def test_a_server_that_says_when_to_ask_again_is_asked_then():
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Busy(BaseHTTPRequestHandler):
        num_asked = 0

        def do_POST(self):
            Busy.num_asked += 1
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"detail": "Too much is waiting.", "error": {"code": "overloaded"}}'
            self.send_response(429 if self.num_asked < 3 else 422)
            self.send_header("retry-after", "0.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        begun = time.monotonic()
        with Tunery(f"http://127.0.0.1:{server.server_port}") as client, pytest.raises(InvalidRequest):
            client.predict("ftjob-x", "text")
        server.shutdown()
        thread.join()
    assert Busy.num_asked == 3
    assert time.monotonic() - begun >= 0.2


def happen(job_id, *, num_events):
    def go():
        for number in range(num_events):
            with transaction() as session:
                events.append(session, job_id, f"event {number}")
            time.sleep(0.05)
        requests.cancel(job_id)

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def test_a_followed_job_tells_every_event_once_though_its_stream_breaks(proxy, monkeypatch):
    from app.client import following

    monkeypatch.setattr(following, "RECONNECT_SECONDS", 0.01)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.1)
    proxy.breaks_streams = True
    job_id = insert_job()
    story = happen(job_id, num_events=8)
    with Tunery(proxy.url) as client:
        updates = list(client.jobs.follow(job_id))
    story.join()
    told = [update.event for update in updates if isinstance(update, JobEvent)]
    assert [event.number for event in told] == list(range(1, len(told) + 1))
    assert [event.message for event in told][1:9] == [f"event {n}" for n in range(8)]
    asked = [headers.get("last-event-id") for _, path, headers in proxy.seen if path.endswith("/events")]
    assert asked[0] is None
    ids = [None, *(event.id for event in told)]
    positions = [ids.index(last_id) for last_id in asked]
    # Each connection goes on behind the last event of the one before, or where that one began, if it broke before an event came.
    assert positions == sorted(positions)
    assert len(set(positions)) > 1
    assert isinstance(updates[-1], JobState)
    assert updates[-1].job.status == "cancelled"


def test_who_stops_following_leaves_no_thread_behind(tunery):
    for update in tunery.jobs.follow(insert_job()):
        if isinstance(update, JobEvent):
            break
    gc.collect()
    deadline = time.monotonic() + 5
    while any(thread.name == "tunery-reader" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_same_is_awaited(server_url, data, tmp_path):
    async def story():
        async with AsyncTunery(server_url) as client:
            assert await client.is_ready() in {True, False}
            model = await client.models.add("tiny", bert_folder(tmp_path / "tiny"))
            assert (await client.models.download(model, tmp_path / "copy")).is_dir()
            file = await client.files.upload(data)
            assert await client.files.content(file) == ROWS
            assert [found.id async for found in client.files.list(page_size=1)] == [file.id]
            made = await asyncio.gather(
                *(client.jobs.submit(model=model, train=file, suffix=f"n{n}") for n in range(5))
            )
            assert {job.id async for job in client.jobs.list(page_size=2)} == {job.id for job in made}
            watched = made[0]
            asyncio.get_running_loop().call_later(0.3, lambda: happen(watched.id, num_events=2))
            updates = [update async for update in client.jobs.follow(watched)]
            told = [update.event.number for update in updates if isinstance(update, JobEvent)]
            assert told == list(range(1, len(told) + 1))
            assert len(told) >= 4
            assert updates[-1].job.status == "cancelled"
            with pytest.raises(NotFound):
                await client.jobs.get("ftjob-nope")
            async for update in client.jobs.follow(made[1]):
                if isinstance(update, JobEvent):
                    break
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()

    asyncio.run(story())


def test_addresses_keys_and_strangers(server_url, monkeypatch):
    monkeypatch.setenv("TUNERY_URL", server_url + "/")
    with Tunery() as client:
        assert client.url == server_url
        assert list(client.jobs.list()) == []
    with pytest.raises(TuneryError, match="no address"):
        Tunery("localhost:8000")
    with pytest.raises(ConnectionFailed) as raised:
        Tunery("http://127.0.0.1:9", max_retries=0).jobs.get("ftjob-x")
    assert raised.value.code == "connection_refused"


def test_the_methods_say_how_they_are_called(tunery):
    import inspect

    assert list(inspect.signature(tunery.jobs.submit).parameters)[:4] == ["model", "train", "validation", "test"]
    assert "Fine-tune a model" in tunery.jobs.submit.__doc__


def test_a_job_is_deleted_once_it_is_over(tunery, model, data):
    job = tunery.jobs.submit(model=model, train=data)
    with pytest.raises(Conflict) as refused:
        tunery.jobs.delete(job)
    assert (refused.value.code, job.id in refused.value.hint) == ("job_is_not_over", True)
    tunery.jobs.cancel(job)
    assert tunery.jobs.delete(job, with_results=True).id == job.id
    with pytest.raises(NotFound):
        tunery.jobs.get(job)
