"""Asking models of every task in a browser; the answers are those of the API."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

from app.config import get_settings
from tests.contract.endpoints import CONTEXT, publish_all, running_api
from tests.dashboard.archive import set_job, settings_of
from tests.dashboard.conftest import Dashboard
from tests.dashboard.test_access import violations
from tests.predictor.conftest import until_alive
from tests.predictor.tiny_models import running_predictor

pytestmark = pytest.mark.xdist_group("dashboard-try")

ANSWER_MS = 60_000


@pytest.fixture(scope="module")
def served(tmp_path_factory, migrated_sqlite):
    """A predictor, a server and a model of every task. Gives the home, the URL and the models."""
    home = tmp_path_factory.mktemp("served")
    shutil.copy(migrated_sqlite, home / "tunery.db")
    with settings_of(home):
        models = publish_all(get_settings().artefacts_dir)
    with (
        tempfile.TemporaryDirectory(prefix="tun") as folder,
        running_predictor(home, Path(folder) / "p.sock") as predictor,
        running_api(home, predictor.address) as url,
    ):
        with ThreadPoolExecutor() as threads:  # the browser's driver has an event loop in this one
            threads.submit(until_alive, predictor.address).result()
        yield home, url, models


@pytest.fixture
def ask(watched, served):
    """Opens the page of a model by its short name. Gives the tab, and what the API answers to an input."""
    home, url, models = served

    def open_model(name, **spec):
        if spec:
            with settings_of(home):
                set_job(models[name].job_id, spec=spec)
        page = Dashboard(*watched, url).open(f"#/try?model={models[name].id}")
        page.wait_for_selector(".try[data-ready]")

        def answer(inputs, **parameters):
            body = {"model": models[name].id, "inputs": inputs, "parameters": parameters}
            return httpx2.post(f"{url}/predict", json=body, timeout=60).json()["predictions"]

        return page, answer

    return open_model


def press(page):
    page.get_by_role("button", name="Ask the model").click()
    expect(page.locator(".try-answers .table-foot").first).to_be_visible(timeout=ANSWER_MS)
    assert violations(page) == []


def test_entities_are_marked_in_place(ask):
    page, answer = ask("tagger")
    text = "the 😀 cat sat on the red mat in Ürümqi"
    page.get_by_label("Text", exact=True).fill(text)
    press(page)
    [found] = answer([text])
    assert found
    marks = page.locator("mark.entity")
    expect(marks).to_have_count(len(found))
    assert [mark.text_content().startswith(one["word"]) for mark, one in zip(marks.all(), found, strict=True)] == [
        True
    ] * len(found)
    without_labels = page.locator(".marked").evaluate(
        "(p) => { const copy = p.cloneNode(true); copy.querySelectorAll('.entity-label').forEach((one) => one.remove()); return copy.textContent; }"
    )
    assert without_labels == text


def test_an_answer_is_marked_in_its_context(ask):
    page, answer = ask("reader")
    page.get_by_label("Question").fill("where is the cat?")
    page.get_by_label("Context").fill(CONTEXT)
    press(page)
    [[best]] = answer({"question": "where is the cat?", "context": CONTEXT})
    if best["answer"]:
        expect(page.locator("mark.entity")).to_contain_text(best["answer"])
    else:
        expect(page.get_by_text("The context does not say.")).to_be_visible()


def test_a_text_is_shown_as_it_is_written(ask):
    page, answer = ask("writer")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("max_new_tokens").fill("12")
    page.get_by_label("Prompt").fill("ROMEO:")
    with page.expect_request("**/predict") as sent:
        press(page)
    assert sent.value.post_data_json["stream"] is True
    [[written]] = answer("ROMEO:", max_new_tokens=12)
    expect(page.locator(".try-answers .written")).to_have_text(written["generated_text"], use_inner_text=False)
    expect(page.get_by_text("12 tokens · no room for more")).to_be_visible()


def test_a_chat_goes_on(ask):
    page, _ = ask(
        "chatter",
        task="text-generation",
        prompt_format="chat",
        model="acme/base",
        dataset={"train": f"file-{'0' * 32}"},
    )
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("max_new_tokens").fill("4")
    for number in (1, 2):
        page.get_by_label("Your message").fill(f"question {number}")
        with page.expect_request("**/predict") as sent:
            page.get_by_label("Your message").press("Enter")
        roles = [message["role"] for message in sent.value.post_data_json["inputs"]["messages"]]
        assert roles == ["user", "assistant", "user"][: 2 * number - 1]
        expect(page.get_by_text("4 tokens")).to_be_visible(timeout=ANSWER_MS)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_role("log").locator(".bubble")).to_have_count(4)
    assert violations(page) == []


def test_a_number_is_a_number_and_several_labels_each_have_a_score(ask):
    page, answer = ask("tags")
    page.get_by_label("Text", exact=True).fill("happy cat")
    press(page)
    [found] = answer(["happy cat"])
    expect(page.locator(".answers .number").first).to_have_text(f"{found[0]['score']:.4f}")
