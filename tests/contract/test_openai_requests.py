"""What the official client asks for and reads, against the application in this process; its strict mode refuses wrong types."""

import json

import openai
import pytest
from openai import OpenAI

from app.db import transaction
from app.file import service as files
from app.job import events
from app.job.states import JobStatus
from app.spec.kinds import JobKind
from tests.api.test_refused_jobs import ROWS, stocked
from tests.hub.fixtures import fake_hub
from tests.job.conftest import insert_job

__all__ = ["fake_hub", "stocked"]

NO_FILE = "file-" + "0" * 32


def client_of(http, **options):
    return OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="any", http_client=http, **options)


@pytest.fixture
def strict(client):
    return client_of(client, _strict_response_validation=True)


@pytest.fixture
def able(stocked, fake_hub):
    """A strict client, and what every request for a job holds."""
    http, spec = stocked
    return client_of(http, _strict_response_validation=True), {
        "model": "tiny", "training_file": spec["dataset"]["train"],
    }  # fmt: skip


def refused(call, *arguments, **options):
    """What the client knows of an error."""
    with pytest.raises(openai.APIStatusError) as caught:
        call(*arguments, **options)
    error = caught.value
    assert error.request_id.startswith("req_")
    return error


def upload(client, name="rows.jsonl", **options):
    return client.files.create(file=(name, ROWS), purpose="fine-tune", **options)


def test_a_file_is_uploaded_read_listed_and_deleted(strict):
    file = upload(strict)
    assert (file.object, file.status, file.bytes, file.filename) == ("file", "processed", len(ROWS), "rows.jsonl")
    assert file.expires_at is None
    assert strict.files.retrieve(file.id) == file
    assert strict.files.content(file.id).read() == ROWS
    assert strict.files.delete(file.id).model_dump() == {"id": file.id, "object": "file", "deleted": True}
    assert refused(strict.files.retrieve, file.id).code == "file_not_found"


def test_files_are_paged_in_either_order_and_by_purpose(strict):
    made = [upload(strict, f"{number}.jsonl").id for number in range(5)]
    assert [file.id for file in strict.files.list(limit=2)] == made[::-1]
    assert [file.id for file in strict.files.list(limit=2, order="asc")] == made
    page = strict.files.list(limit=2, after=made[3])
    assert ([file.id for file in page.data], page.has_more) == ([made[2], made[1]], True)
    assert len(strict.files.list(purpose="fine-tune", limit=10_000).data) == 5
    assert strict.files.list(purpose="vision").data == []


def test_a_file_whose_time_is_over_goes_unless_a_job_needs_it(able, monkeypatch):
    client, request = able
    kept = upload(client)
    file = upload(client, expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600
    assert files.delete_expired() == 0
    monkeypatch.setattr(files, "utc_now", lambda: files.describe(file.id).expires_at)
    job = client.fine_tuning.jobs.create(**request | {"training_file": file.id})
    assert files.delete_expired() == 0
    client.fine_tuning.jobs.cancel(job.id)
    assert files.delete_expired() == 1
    assert {found.id for found in client.files.list()} == {kept.id, request["training_file"]}


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "batch"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "last_used_at", "seconds": 3600}}, "expires_after.anchor"),
    ],
)
def test_an_upload_that_is_not_done_so_is_refused_by_its_parameter(strict, options, param):
    assert refused(strict.files.create, **{"file": ("a.jsonl", ROWS), "purpose": "fine-tune"} | options).param == param
    assert strict.files.list().data == []


def test_a_job_has_every_member_and_means_the_job_of_the_native_api(able, stocked):
    client, request = able
    validation = upload(client).id
    job = client.fine_tuning.jobs.create(
        **request,
        validation_file=validation,
        suffix="My model, v1.0",
        seed=7,
        metadata={"team": "nlp"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}},
        extra_body={
            "metrics": ["accuracy"],
            "training": {"max_length": 32},
            "priority": 3,
            "columns": {"text": "text"},
        },
    )
    assert job.object == "fine_tuning.job"
    assert (job.status, job.seed, job.metadata) == ("queued", 7, {"team": "nlp"})
    assert (job.training_file, job.validation_file) == (request["training_file"], validation)
    assert (job.error, job.fine_tuned_model, job.finished_at, job.trained_tokens) == (None, None, None, None)
    assert (job.result_files, job.organization_id) == ([], "tunery")
    assert job.hyperparameters.model_dump() == {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 1.0}
    assert job.method.supervised.hyperparameters.n_epochs == 2
    assert client.fine_tuning.jobs.retrieve(job.id) == job
    native = stocked[0].get(f"/jobs/{job.id}").json()["spec"]
    assert native["suffix"] == "My-model-v1-0"
    assert (native["priority"], native["metrics"], native["training"]["max_length"]) == (3, ["accuracy"], 32)
    assert native["columns"]["text"] == "text"
    with_raw = client.fine_tuning.jobs.with_raw_response.retrieve(job.id)
    assert {"integrations", "estimated_finish", "error"} <= with_raw.http_response.json().keys()


def test_hyperparameters_are_taken_from_where_older_clients_put_them(able):
    client, request = able
    chosen = client.fine_tuning.jobs.create(**request, hyperparameters={"n_epochs": 4, "batch_size": "auto"})
    assert chosen.hyperparameters.n_epochs == 4
    assert chosen.hyperparameters.batch_size == 16


def test_the_multiplier_is_of_the_rate_that_the_recipe_chooses(able):
    client, request = able
    rates = [
        client.fine_tuning.jobs.create(
            **request, hyperparameters={"learning_rate_multiplier": factor}
        ).spec["training"]["learning_rate"]
        for factor in ("auto", 1, 0.5)
    ]  # fmt: skip
    assert rates[0] == rates[1] == pytest.approx(2 * rates[2])


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"training_file": "data.jsonl"}, "training_file", "invalid_value"),
        ({"training_file": NO_FILE}, "training_file", "file_not_found"),
        ({"validation_file": NO_FILE}, "validation_file", "file_not_found"),
        ({"model": "no-such-model"}, "model", "model_not_found"),
        ({"method": {"type": "dpo"}}, "method.type", "method_not_supported"),
        ({"method": {"type": "reinforcement"}}, "method.type", "method_not_supported"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations", "integrations_not_supported"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"suffix": "x" * 65}, "suffix", "invalid_value"),
        ({"suffix": "?!"}, "suffix", "invalid_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "invalid_value"),
        ({"hyperparameters": {"batch_size": 0}}, "hyperparameters.batch_size", "invalid_value"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier", "invalid_value"),
        ({"extra_body": {"trainng": {}}}, "trainng", "unknown_parameter"),
        ({"extra_body": {"training": {"learning_rat": 1}}}, "training.learning_rat", "unknown_parameter"),
        ({"extra_body": {"training": [1]}}, "training", "invalid_value"),
        ({"extra_body": {"dataset": {"name": "nyu-mll/glue"}}}, "dataset.name", "given_twice"),
        ({"seed": 1, "extra_body": {"training": {"seed": 2}}}, "seed", "given_twice"),
        (
            {
                "hyperparameters": {"n_epochs": 1},
                "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            },
            "hyperparameters",
            "given_twice",
        ),
        (
            {"hyperparameters": {"learning_rate_multiplier": 2}, "extra_body": {"training": {"learning_rate": 1e-4}}},
            "hyperparameters.learning_rate_multiplier",
            "invalid_request",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_as_it_was_sent(able, change, param, code):
    client, request = able
    error = refused(client.fine_tuning.jobs.create, **request | change)
    assert (error.status_code, error.param, error.code) == (422, param, code)
    assert error.message.startswith("Error code: 422 - ")
    assert error.message != "Error code: 422"
    assert client.fine_tuning.jobs.list().data == []


def test_a_request_under_the_same_key_makes_one_job(able):
    client, request = able
    key = {"extra_headers": {"Idempotency-Key": "order-66"}}
    made = [client.fine_tuning.jobs.create(**request, **key).id for _ in range(2)]
    assert made[0] == made[1]
    assert refused(client.fine_tuning.jobs.create, **request, seed=1, **key).code == "idempotency_key_reused"


def test_jobs_are_paged_and_filtered_and_others_are_not_among_them(strict):
    made = [insert_job(job_metadata={"team": "nlp" if number % 2 else "it's"}) for number in range(5)]
    other = insert_job(kind=JobKind.EXPORT)
    assert [job.id for job in strict.fine_tuning.jobs.list(limit=2)] == made[::-1]
    assert [job.id for job in strict.fine_tuning.jobs.list(metadata={"team": "it's"})] == made[::-2]
    assert refused(strict.fine_tuning.jobs.retrieve, other).status_code == 404
    assert refused(strict.fine_tuning.jobs.cancel, other).status_code == 404
    assert refused(strict.fine_tuning.jobs.list, after="nothing").code == "invalid_cursor"


def test_events_come_newest_first_page_by_page(strict):
    job_id = insert_job()
    with transaction() as session:
        for number in range(6):
            events.append(session, job_id, f"event {number}", level="warn", data={"n": number})
    told = list(strict.fine_tuning.jobs.list_events(job_id, limit=3))
    assert [event.message for event in told] == [f"event {n}" for n in range(5, -1, -1)] + ["The job was accepted."]
    assert (told[0].level, told[0].type, told[0].data) == ("warn", "message", {"n": 5})
    assert refused(strict.fine_tuning.jobs.list_events, job_id, after="nothing").code == "invalid_cursor"


def test_a_job_is_paused_resumed_and_cancelled_with_empty_bodies(client):
    asking = client_of(client)  # strict clients know no pause
    job_id = insert_job()
    assert asking.fine_tuning.jobs.pause(job_id).status == "paused"
    assert asking.fine_tuning.jobs.resume(job_id).status == "queued"
    ended = asking.fine_tuning.jobs.cancel(job_id)
    assert (ended.status, type(ended.finished_at)) == ("cancelled", int)


def test_what_asking_again_cannot_change_is_not_asked_again(client):
    asked = []
    client.event_hooks = {"request": [lambda request: asked.append(request.url.path)]}
    job_id = insert_job(
        status=JobStatus.FAILED, error={"code": "c", "message": "It broke", "param": None, "hint": "Mend it."}
    )
    patient = client_of(client, max_retries=2, _strict_response_validation=True)
    assert patient.fine_tuning.jobs.retrieve(job_id).error.message == "It broke. Mend it."
    error = refused(patient.fine_tuning.jobs.cancel, job_id)
    assert (type(error), error.code) == (openai.ConflictError, "job_is_over")
    assert asked.count(f"/v1/fine_tuning/jobs/{job_id}/cancel") == 1


def test_a_key_is_asked_for_where_one_is_set(sqlite_home, monkeypatch):
    from fastapi.testclient import TestClient

    from app.config import get_settings
    from app.main import create_app

    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "sk-right")
    get_settings.cache_clear()
    with TestClient(create_app(), base_url="http://127.0.0.1:8000") as http:
        error = refused(client_of(http).models.list)
        assert (type(error), error.code) == (openai.AuthenticationError, "invalid_api_key")
        right = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="sk-right", http_client=http)
        assert right.models.list().data == []


def test_models_are_listed_whole_looked_at_and_deleted(able, stocked):
    client, _ = able
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by, type(model.created)) == ("tiny", "model", "tunery", int)
    assert client.models.retrieve("tiny") == model
    assert client.models.delete("tiny").model_dump() == {"id": "tiny", "object": "model", "deleted": True}
    assert refused(client.models.retrieve, "acme/tiny").code == "model_not_found"


def test_every_list_says_whether_there_is_more(client):
    for path in ("/v1/files", "/v1/models", "/v1/fine_tuning/jobs"):
        assert json.loads(client.get(path).content) == {
            "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None,
        }  # fmt: skip
