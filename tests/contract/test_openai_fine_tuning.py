"""A whole fine-tune by the official client against a running service: one tiny job of rows and one of chats, told by webhooks."""

import asyncio
import csv
import io
import json
import subprocess
import sys
import time
from itertools import pairwise

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.decoder import build_decoder
from tests.road.conftest import Service, assert_all_is_well
from tests.road.tiny import build_encoder, jsonl, reviews
from tests.stack.processes import ROOT, Up, eventually
from tests.webhook.receiver import receiving

pytestmark = pytest.mark.xdist_group("openai")

NUM_ROWS, NUM_HELD_OUT, TOKENS_OF_A_ROW = 120, 12, 10
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}> {{ message.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
CHATS = [
    {"messages": [{"role": "user", "content": f"one {word}"}, {"role": "assistant", "content": f"{word} two"}]}
    for word in ("red", "green", "blue", "three") * 8
]
ENDED = {"succeeded", "failed", "cancelled"}


class Live:
    """A running service, the official client before it, and a receiver of its webhooks."""

    def __init__(self, up, url, receiver):
        self.up, self.url, self.receiver = up, url, receiver
        self.client = OpenAI(base_url=f"{url}/v1", api_key="none", _strict_response_validation=True)

    def wait(self, job):
        deadline = time.monotonic() + 120
        while job.status not in ENDED:
            assert time.monotonic() < deadline, self.up.log()[-4000:]
            time.sleep(0.1)
            job = self.client.fine_tuning.jobs.retrieve(job.id)
        return job

    def upload(self, rows):
        return self.client.files.create(file=("rows.jsonl", jsonl(rows)), purpose="fine-tune").id

    def told(self, job_id):
        """The events of the job that the receiver has had."""
        return [sent for sent in self.receiver.deliveries if json.loads(sent.body)["data"]["id"] == job_id]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openai")
    up = Up(folder / "home", TUNERY_WEBHOOK_RETRY_SECONDS="0.5")
    try:
        with receiving() as receiver:
            url = up.wait_ready()
            service = Service(up, url)
            service.register("tiny-bert", build_encoder(folder / "encoder"))
            service.register("tiny-llama", build_decoder(folder / "decoder", template=TEMPLATE))
            yield Live(up, url, receiver)
            assert up.stop() == 0, up.log()[-4000:]
        assert_all_is_well(up.home)
    finally:
        up.clean_up()


@pytest.fixture(scope="module")
def secret(live):
    """Of a webhook that is told of everything, added as a user does."""
    command = [sys.executable, "-P", "-m", "app.cli", "webhooks", "add", live.receiver.url, "--json"]
    environment = {"PYTHONPATH": str(ROOT), "TUNERY_URL": live.url, "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["secret"]


@pytest.fixture(scope="module")
def submitted(live, secret):
    """One job of each kind, as they were created; they run one after the other."""
    rows = live.client.fine_tuning.jobs.create(
        model="tiny-bert",
        training_file=live.upload(reviews(NUM_ROWS, seed=1)),
        suffix="reviews",
        metadata={"team": "nlp"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 20}},
        },
        extra_body={"metrics": ["accuracy", "f1"]},
    )
    chats = live.client.fine_tuning.jobs.create(
        model="tiny-llama", training_file=live.upload(CHATS), hyperparameters={"n_epochs": 1}
    )
    return rows, chats


@pytest.fixture(scope="module")
def tuned(live, submitted):
    return live.wait(submitted[0])


@pytest.fixture(scope="module")
def chatting(live, submitted):
    return live.wait(submitted[1])


def test_a_job_succeeds_with_a_model_and_says_what_it_took(tuned):
    assert (tuned.status, tuned.error) == ("succeeded", None)
    assert tuned.fine_tuned_model == f"ft:tiny-bert:tunery:reviews:{tuned.id.removeprefix('ftjob-')}"
    assert tuned.created_at <= tuned.finished_at
    assert tuned.task == "text-classification"
    assert tuned.trained_tokens == 2 * (NUM_ROWS - NUM_HELD_OUT) * TOKENS_OF_A_ROW


def test_its_story_is_told_newest_first_in_pages(live, tuned):
    told = list(live.client.fine_tuning.jobs.list_events(tuned.id, limit=4))
    assert "has succeeded" in told[0].message
    assert told[-1].message == "The job was accepted."
    assert len({event.id for event in told}) == len(told) > 8
    assert all(newer.created_at >= older.created_at for newer, older in pairwise(told))


def test_its_checkpoints_have_what_was_measured_and_the_best_can_be_asked(live, tuned):
    found = list(live.client.fine_tuning.jobs.checkpoints.list(tuned.id, limit=1))
    assert [checkpoint.step_number for checkpoint in found] == [28, 14]
    assert {checkpoint.fine_tuning_job_id for checkpoint in found} == {tuned.id}
    for checkpoint in found:
        assert checkpoint.metrics.step == checkpoint.step_number
        assert min(checkpoint.metrics.train_loss, checkpoint.metrics.valid_loss) > 0
        assert 0 <= checkpoint.metrics.f1 <= 1
        assert 0 <= checkpoint.metrics.accuracy <= 1
    best = tuned.metrics["best"]["step"]
    name = next(each.fine_tuned_model_checkpoint for each in found if each.step_number == best)
    answer = Service(live.up, live.url).http.post("/predict", json={"model": name, "inputs": "this film seemed good"})
    assert answer.status_code == 200, answer.text


def test_its_result_file_holds_the_metrics_of_each_step(live, tuned):
    (file_id,) = tuned.result_files
    file = live.client.files.retrieve(file_id)
    assert (file.purpose, file.status) == ("fine-tune-results", "processed")
    assert [found.id for found in live.client.files.list(purpose="fine-tune-results")].count(file_id) == 1
    rows = list(csv.DictReader(io.StringIO(live.client.files.content(file_id).text)))
    assert [int(row["step"]) for row in rows] == list(range(1, 29))
    assert [row["step"] for row in rows if row["eval/loss"]] == ["14", "28"]
    points = Service(live.up, live.url).http.get(f"/jobs/{tuned.id}/metrics?limit=1000").json()["data"]
    assert sum(cell != "" for row in rows for cell in row.values()) == len(points) + 2 * len(rows)
    for point in points:
        assert float(rows[point["step"] - 1][point["name"]]) == point["value"]


def test_a_job_that_has_ended_cannot_be_cancelled(live, tuned):
    with pytest.raises(openai.ConflictError) as caught:
        live.client.fine_tuning.jobs.cancel(tuned.id)
    assert caught.value.code == "job_is_over"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_the_asynchronous_client_reads_the_same(live, tuned):
    async def read():
        async with AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", _strict_response_validation=True) as client:
            jobs = [job async for job in client.fine_tuning.jobs.list(metadata={"team": "nlp"}, limit=1)]
            return jobs, await client.models.retrieve(tuned.fine_tuned_model)

    (job,), model = asyncio.run(read())
    assert job.id == tuned.id
    assert (model.id, model.owned_by) == (tuned.fine_tuned_model, "tunery")


def test_a_model_tuned_on_chats_goes_on_with_one(live, chatting):
    assert (chatting.status, chatting.task) == ("succeeded", "text-generation"), chatting.error
    asked = {"model": chatting.fine_tuned_model, "messages": [{"role": "user", "content": "one red"}], "max_tokens": 4}
    answer = live.client.chat.completions.create(**asked)
    assert answer.model == chatting.fine_tuned_model
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.completion_tokens <= 4
    chunks = list(live.client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    written = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert written == answer.choices[0].message.content
    assert chunks[-1].usage.model_dump() == answer.usage.model_dump()


def test_a_chat_with_what_takes_none_is_refused(live, tuned):
    asked = {"messages": [{"role": "user", "content": "hello"}]}
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        live.client.chat.completions.create(model=tuned.fine_tuned_model, **asked)
    assert (caught.value.param, caught.value.code) == ("messages", "invalid_input")
    with pytest.raises(openai.NotFoundError) as caught:
        live.client.chat.completions.create(model="ft:nothing:tunery::1", **asked)
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


def test_a_webhook_is_told_of_each_end_and_the_client_unwraps_it(live, secret, tuned, chatting):
    for job in (tuned, chatting):
        assert eventually(lambda job=job: live.told(job.id))
        (sent,) = live.told(job.id)
        event = live.client.webhooks.unwrap(sent.body, sent.headers, secret=secret)
        assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", job.id)


def test_a_receiver_that_was_down_is_told_when_it_is_back(live, secret, submitted, chatting):
    http = Service(live.up, live.url).http
    with receiving() as other:
        port = other.port
    down = f"http://127.0.0.1:{port}/later"
    added = http.post("/webhooks", json={"url": down, "events": ["fine_tuning.job.cancelled"]}).json()
    job = live.client.fine_tuning.jobs.create(model="tiny-bert", training_file=submitted[0].training_file)
    live.client.fine_tuning.jobs.cancel(job.id)
    live.wait(job)

    def last_error():
        return next(hook for hook in http.get("/webhooks").json()["data"] if hook["id"] == added["id"])["last_error"]

    assert eventually(last_error)
    with receiving(port) as back:
        assert eventually(lambda: back.deliveries, seconds=30)
        (sent,) = back.deliveries
        event = live.client.webhooks.unwrap(sent.body, sent.headers, secret=added["secret"])
    assert (event.type, event.data.id) == ("fine_tuning.job.cancelled", job.id)
    assert eventually(lambda: last_error() is None)
    assert http.delete(f"/webhooks/{added['id']}").status_code == 200


def test_a_model_that_is_deleted_is_gone(live, chatting):
    assert live.client.models.delete(chatting.fine_tuned_model).deleted
    assert chatting.fine_tuned_model not in {model.id for model in live.client.models.list()}
    assert live.client.fine_tuning.jobs.retrieve(chatting.id).fine_tuned_model is None
