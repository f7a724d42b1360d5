"""A whole service whose trainers are another user without a network: jobs train, go on, and their models answer."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.road.conftest import TRAINING, Service, assert_all_is_well
from tests.road.tiny import reviews
from tests.stack.processes import Up
from tests.worker.test_isolation import NOBODY, with_two_users

pytestmark = [pytest.mark.long, with_two_users]


def test_trainers_of_another_user_do_all_that_trainers_do(encoder):
    folder = Path(tempfile.mkdtemp(prefix="tunery-isolated-"))
    folder.chmod(0o755)
    (folder / "home").mkdir(mode=0o755)
    isolated = {"TUNERY_TRAINER_USER": f"{NOBODY}:{NOBODY}", "TUNERY_TRAINER_NETWORK": "none"}
    up = Up(folder / "home", **isolated)
    try:
        service = Service(up, up.wait_ready())
        service.register("tiny-bert", encoder)
        file = service.upload(reviews(240, seed=1))
        job_id = service.submit(model="tiny-bert", dataset={"train": file}, training=TRAINING)
        service.wait_for(job_id, lambda job: (job["progress"] or {}).get("step", 0) > 60)
        trainer = up.pid_of("worker.trainer")
        assert Path(f"/proc/{trainer}").stat().st_uid in {0, NOBODY}, "it may not be looked into"
        assert f"Uid:\t{NOBODY}\t{NOBODY}" in Path(f"/proc/{trainer}/status").read_text()
        service.http.post(f"/jobs/{job_id}/pause").raise_for_status()
        service.wait_for(job_id, lambda job: job["status"] == "paused")
        service.http.post(f"/jobs/{job_id}/resume").raise_for_status()
        job = service.wait(job_id)
        assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
        assert "goes on from step" in service.http.get(f"/jobs/{job_id}/events").text
        model = next((up.home / "artefacts/models").glob("ft_*"))
        assert {path.stat().st_uid for path in (model, *model.iterdir())} == {0}
        answer = service.http.post("/predict", json={"model": job_id, "inputs": "this film seemed good"})
        assert answer.status_code == 200, answer.text
        gone = service.submit(model="acme/not-here", dataset={"train": file}, training=TRAINING)
        failed = service.wait(gone)
        assert failed["error"]["code"] == "hub_unreachable", "there is no network to look for it"
        assert up.stop() == 0
        assert_all_is_well(up.home)
    finally:
        up.clean_up()
        shutil.rmtree(folder)
