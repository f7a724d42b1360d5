"""One row of everything that a project can own."""

from app import caller, ids
from app.caller import Caller
from app.clock import utc_now
from app.db import transaction
from app.file.models import File
from app.hub_token.models import HubToken
from app.job.models import Attempt, Checkpoint, IdempotencyKey, JobMistakes, MetricPoint, NodeSeat
from app.job.states import JobStatus
from app.model.models import Model
from app.study.models import Study, Trial
from app.webhook.models import Webhook, WebhookDelivery
from tests.job.conftest import insert_job


def make_one_of_each(project_id: str) -> dict[str, str]:
    """Ids by noun. The job has succeeded, and its model has no files."""
    moment, sha = utc_now(), "0" * 64
    with caller.acting_for(Caller(project_id=project_id)):
        job_id = insert_job(status=JobStatus.SUCCEEDED, finished_at=moment, best_metrics={"step": 1})
        made = {
            "job": job_id,
            "file": ids.new_id(ids.FILE),
            "model": f"ft:tiny:tunery::{job_id.removeprefix('ftjob-')}",
            "sweep": ids.new_id(ids.SWEEP),
            "webhook": ids.new_id(ids.WEBHOOK),
        }
        of_job = {"job_id": job_id}
        with transaction() as session:
            session.add_all(
                [
                    File(
                        id=made["file"], filename="a.jsonl", purpose="fine-tune", format="jsonl", size_bytes=1, sha256=sha,
                        path="files/a", profile={}, created_at=moment,
                    ),
                    Model(
                        id=made["model"], kind="fine-tuned", job_id=job_id, path="models/a", manifest_sha256=sha,
                        weights_sha256=sha, size_bytes=1, config={}, metrics={}, created_at=moment,
                    ),
                    Study(
                        id=made["sweep"], status="queued", spec={}, requested_spec={}, base_spec={}, study_metadata={},
                        created_at=moment, request_sha256=sha, idempotency_key="again",
                    ),
                    Webhook(id=made["webhook"], url="https://a.example/", secret="whsec_", allows_loopback=False, created_at=moment),
                    HubToken(sealed="sealed", last_four="four", set_at=moment),
                    IdempotencyKey(key="again", request_sha256=sha, job_id=job_id, created_at=moment),
                    Attempt(**of_job, number=1, token=1, worker_id="w", started_at=moment),
                    MetricPoint(**of_job, step=1, name="eval/f1", epoch=1.0, value=0.5, created_at=moment),
                    JobMistakes(**of_job, split="test", rows_of="test", num_examples=1, mistakes=[]),
                    Checkpoint(
                        id=ids.new_id(ids.CHECKPOINT), **of_job, attempt=1, step=1, epoch=1.0, path="a", manifest_sha256=sha,
                        size_bytes=1, metrics={}, created_at=moment,
                    ),
                    NodeSeat(**of_job, token=1, node_rank=0, state="taken", worker_id="w"),
                ]
            )  # fmt: skip
            session.flush()
            session.add_all(
                [
                    Trial(study_id=made["sweep"], number=0, job_id=job_id, params={}, state="complete", created_at=moment),
                    WebhookDelivery(
                        id=ids.new_id(ids.WEBHOOK_DELIVERY), webhook_id=made["webhook"], event="e", job_id=job_id,
                        payload="{}", created_at=moment, next_attempt_at=moment,
                    ),
                ]
            )  # fmt: skip
    return made
