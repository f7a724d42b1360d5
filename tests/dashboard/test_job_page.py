import pytest
from playwright.sync_api import expect

from app.clock import utc_now
from app.errors import NotFound
from app.job.service import get_job
from app.job.states import JobStatus
from tests.dashboard.archive import FILE, HOSTILE, add_job, say, set_job, settings_of, spec

pytestmark = pytest.mark.xdist_group("dashboard")


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel", name=name)


def test_every_part_of_a_finished_job_is_shown(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.finished}")
    assert page.title() == "paraphrase · Tunery"
    expect(page.get_by_role("row", name="Validation")).to_contain_text("0.8753")
    expect(page.get_by_role("row", name="Always the most frequent")).to_contain_text("0.58")
    evaluation = open_tab(page, "Evaluation")
    matrix = evaluation.get_by_role("table", name="Confusion matrix of the Validation split")
    expect(matrix.get_by_role("row", name="other 79 47")).to_be_visible()
    expect(evaluation.get_by_role("row", name="same 0.78")).to_have_count(2)
    data = open_tab(page, "Data")
    expect(data.get_by_text("58.0 %").first).to_be_visible()
    expect(data.get_by_role("img", name="64 to 127: 700").first).to_be_visible()
    expect(open_tab(page, "Checkpoints").get_by_role("row", name="225")).to_contain_text("182 MB")
    expect(open_tab(page, "Events").get_by_text("The job was accepted.")).to_be_visible()
    expect(open_tab(page, "Log").get_by_text("phase: training")).to_be_visible()
    spec_tab = open_tab(page, "Spec")
    expect(spec_tab.get_by_role("row", name="training.num_train_epochs")).to_contain_text("given")
    expect(spec_tab.get_by_role("row", name="training.adam_beta1")).to_contain_text("default")
    expect(spec_tab.get_by_text(f"curl {dashboard.url}/jobs")).to_be_visible()


def test_a_tab_is_part_of_the_address(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.finished}")
    open_tab(page, "Data")
    page.reload()
    expect(page.get_by_role("tab", name="Data")).to_have_attribute("aria-selected", "true")


def test_what_users_write_is_shown_as_text(dashboard, archive):
    page = dashboard.open("#/jobs?text=script")
    expect(page.locator(f"tr[data-job='{archive.hostile}'] a")).to_have_text(HOSTILE)
    page = dashboard.open(f"#/jobs/{archive.hostile}")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    for tab in ("Evaluation", "Data", "Events", "Log", "Spec"):
        expect(open_tab(page, tab).get_by_text(HOSTILE).first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    assert page.locator("main script").count() == 0


def test_a_failed_job_says_why_where_and_what_to_do(dashboard, archive):
    page = dashboard.open(f"#/jobs/{archive.failed}")
    panel = page.get_by_role("alert")
    for words in ("The loss became NaN at step 12.", "training.learning_rate", "Lower the learning rate.", "loss_nan"):
        expect(panel).to_contain_text(words)
    expect(page.get_by_role("tab", name="Evaluation")).to_be_hidden()
    expect(page.get_by_role("tab", name="Mistakes")).to_be_hidden()


def test_a_running_job_is_followed_until_its_end_and_not_longer(dashboard, archive):
    with settings_of(archive.home):
        job = add_job(status="running", phase="training", spec=spec(suffix="followed"), attempt=1,
                      progress={"step": 10, "max_steps": 100, "fraction": 0.1})  # fmt: skip
    page = dashboard.open(f"#/jobs/{job}?tab=events")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.1")
    with settings_of(archive.home):
        say(job, "Half of it is done.")
        set_job(job, progress={"step": 50, "max_steps": 100, "fraction": 0.5, "eta_seconds": 60.0})
    expect(page.get_by_text("Half of it is done.")).to_be_visible()
    expect(page.get_by_text("50 / 100")).to_be_visible()
    expect(page.get_by_text("1 min left")).to_be_visible()
    with settings_of(archive.home):
        set_job(job, status="cancelled")
    expect(page.locator("h1 + span .badge")).to_have_text("cancelled")
    page.wait_for_timeout(1500)
    before = len(dashboard.watch.requests)
    page.wait_for_timeout(3000)
    assert len(dashboard.watch.requests) == before


def test_actions_change_what_the_page_shows(dashboard, archive):
    with settings_of(archive.home):
        job = add_job(status="queued", spec=spec(suffix="waits"))
    page = dashboard.open(f"#/jobs/{job}")
    badge = page.locator("h1 + span .badge")
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(badge).to_have_text("queued")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(badge).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_what_the_service_refuses_is_told_with_its_hint(watched, url):
    page, watch = watched
    page.goto(f"{url}/#/jobs/ftjob-{'0' * 32}")
    expect(page.get_by_role("alert")).to_contain_text("There is no job")
    expect(page.get_by_role("alert")).to_contain_text("404 job_not_found")
    assert all("404" in error for error in watch.errors), watch.errors  # the browser's own word about the answer
    watch.errors.clear()


@pytest.mark.parametrize("fragment", ["#/jobs", "#/nowhere"])
def test_the_focus_follows_to_another_page(dashboard, archive, fragment):
    page = dashboard.open(f"#/jobs/{archive.finished}")
    page.evaluate("fragment => { location.hash = fragment; }", fragment)
    heading = page.get_by_role("heading", level=1, name="Jobs" if fragment == "#/jobs" else "There is no such page")
    expect(heading).to_be_focused()


def test_a_prediction_of_a_file_shows_what_it_counted_and_its_result(dashboard, archive):
    asked = {"model": "ft:base:org:mine:1", "file": FILE}
    with settings_of(archive.home):
        job = add_job(
            kind="prediction", status="succeeded", spec=asked, result_files=["file-" + "1" * 32],
            report={"num_rows": 300, "num_predicted": 298, "num_errors": 2}, progress={"step": 300, "max_steps": 300},
        )  # fmt: skip
    page = dashboard.open(f"#/jobs/{job}")
    result = page.get_by_role("region", name="Result")
    expect(result).to_contain_text("predicted298")
    expect(result.get_by_role("button", name="Download file-…11111111")).to_be_visible()
    expect(page.get_by_role("tab", name="Checkpoints")).to_be_hidden()
    expect(page.get_by_role("heading", name="Curves")).to_have_count(0)
    expect(open_tab(page, "Spec").get_by_text(f"curl {dashboard.url}/predict/batch")).to_be_visible()


def test_a_job_that_waits_tells_its_place(dashboard, archive):
    with settings_of(archive.home):
        jobs = [add_job(status="queued", spec=spec(suffix=f"waits-{i}")) for i in range(2)]
    page = dashboard.open(f"#/jobs/{jobs[1]}")
    expect(page.get_by_text("number 2 in the queue")).to_be_visible()
    with settings_of(archive.home):
        set_job(jobs[0], status="cancelled")
    expect(page.get_by_text("number 1 in the queue")).to_be_visible()
    with settings_of(archive.home):
        set_job(jobs[1], status="cancelled")


def test_a_job_that_is_over_is_deleted_after_a_question(dashboard, archive):
    with settings_of(archive.home):
        ended = {"started_at": utc_now(), "finished_at": utc_now(), "status": JobStatus.FAILED}
        job = add_job(spec=spec(suffix="unwanted"), error={"code": "loss_nan", "message": "NaN"}, **ended)
    page = dashboard.open(f"#/jobs/{job}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep as it is").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("unwanted")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete unwanted?")
    expect(dialog.get_by_role("checkbox")).to_have_count(0)  # it made nothing
    dialog.get_by_role("button", name="Delete the job").click()
    page.wait_for_url("**#/jobs")
    with settings_of(archive.home), pytest.raises(NotFound):
        get_job(job)


def test_what_a_job_made_goes_with_it_if_the_box_is_ticked(dashboard, archive):
    made = {"kind": "prediction", "result_files": [FILE.replace("0", "7")]}
    asked = {"model": "ft:tiny:tunery::0", "file": FILE}
    with settings_of(archive.home):
        job = add_job(spec=asked, status=JobStatus.SUCCEEDED, started_at=utc_now(), finished_at=utc_now(), **made)
    page = dashboard.open(f"#/jobs/{job}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("checkbox", name="Delete its files too").check()
    with page.expect_request(lambda request: request.method == "DELETE") as sent:
        page.get_by_role("button", name="Delete the job").click()
    assert sent.value.url.endswith(f"/jobs/{job}?results=delete")
    page.wait_for_url("**#/jobs")
