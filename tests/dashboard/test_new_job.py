"""The form of a new job: what it shows of the data, of what is wrong, and of the call that it makes."""

import ast
import json
import re
import shlex

import pytest
from playwright.sync_api import expect

from app.cli.job_spec import apply_setting
from tests.dashboard.archive import HOSTILE
from tests.dashboard.pages_api import register, reviews, save_tiny_model, upload
from tests.dashboard.test_access import violations

pytestmark = pytest.mark.xdist_group("dashboard")

CSV = 'text,label\n"a, good ""film""",yes\n"two\nlines",no\n'
REFUSED = "console: Failed to load resource: the server responded with a status of 422"
"""What a browser says of an answer that the form asks for, and shows."""


@pytest.fixture(scope="module")
def url(url, tmp_path_factory):
    register(url, "tiny", save_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))
    return url


@pytest.fixture
def form(dashboard):
    """The form with data and model, checked once."""
    file = upload(dashboard.url, "reviews.jsonl", reviews())
    page = dashboard.open(f"#/new?train={file}&model=tiny")
    expect(page.get_by_text("Fits", exact=False).first).to_be_visible()
    return page


def expect_refusals(dashboard):
    dashboard.watch.errors[:] = [error for error in dashboard.watch.errors if not error.startswith(REFUSED)]


def test_what_auto_becomes_stands_in_the_fields(form):
    expect(form.get_by_label("Epochs")).to_have_attribute("placeholder", "auto: 3")
    expect(form.get_by_label("Learning rate")).to_have_attribute("placeholder", re.compile(r"^auto: [0-9e.-]+$"))
    expect(form.get_by_label("Task", exact=True).locator("option").first).to_have_text("auto: text-classification")
    expect(form.get_by_label("Label", exact=True).locator("option").first).to_have_text("auto: label")
    expect(form.get_by_role("region", name="First rows of reviews.jsonl").get_by_role("row")).to_have_count(6)


def test_what_is_wrong_stands_at_its_field(form, dashboard):
    form.get_by_label("Learning rate").fill("-1")
    field = form.locator(".field[data-path='training.learning_rate']")
    expect(field.locator(".error")).to_have_text("Input should be greater than 0")
    expect(form.get_by_label("Learning rate")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("Seed").fill("many")
    expect(form.locator(".field[data-path='training.seed'] .error")).to_contain_text("integer")
    form.get_by_label("Learning rate").fill("")
    expect(form.get_by_label("Learning rate")).not_to_have_attribute("aria-invalid", "true")
    form.get_by_label("Seed").fill("")
    form.get_by_label("Label", exact=True).select_option("text")
    expect(form.locator(".field[data-path='columns.label'] .error, .problems")).not_to_have_count(0)
    form.get_by_label("Label", exact=True).select_option("")
    expect(form.get_by_text("Fits", exact=False).first).to_be_visible()
    form.get_by_role("searchbox", name="Search all settings").fill("lora rank")
    expect(form.get_by_label("r", exact=True)).to_be_hidden()  # until an adapter is asked for
    form.get_by_label("Train few weights").check()
    form.get_by_label("r", exact=True).fill("0")
    expect(form.locator(".field[data-path='adapter.r'] .error")).to_contain_text("greater than or equal to 1")
    assert violations(form) == []
    form.get_by_label("Train few weights").uncheck()
    expect(form.get_by_text("Fits", exact=False).first).to_be_visible()  # what was said of the adapter is gone with it
    expect_refusals(dashboard)


def test_the_calls_send_what_the_form_sends(form, dashboard):
    form.get_by_label("Epochs").fill("1.5")
    form.get_by_label("Second text").select_option("\0none")
    form.get_by_label("Validation data").select_option("share")
    form.get_by_label("Name", exact=True).fill("it-s")
    form.get_by_role("button", name="Add a note").click()
    form.get_by_label("Name of the note").fill("said by")
    form.get_by_label("Text of the note").fill('it\'s "me" $HOME äé\\n')
    form.get_by_role("searchbox", name="Search all settings").fill("class_weights")
    form.get_by_label("class_weights").fill('{"no": 2.5, "yes": 1}')
    form.get_by_role("searchbox", name="Search all settings").fill("label_names")
    form.get_by_label("label_names").fill('["no", "yes"]')
    form.get_by_role("searchbox", name="Search all settings").fill("metrics")
    form.get_by_label("metrics", exact=True).fill("accuracy, f1")
    texts = {}
    for name in ("Command line", "Python", "curl"):
        form.get_by_role("tab", name=name).click()
        texts[name] = form.get_by_role("tabpanel", name=name).locator("pre").text_content()
    with form.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/jobs")) as sent:
        form.get_by_role("button", name="Start the job").click()
    assert sent.value.status == 201
    body = sent.value.request.post_data_json
    assert body["columns"] == {"text_pair": None}
    assert body["training"]["class_weights"] == {"no": 2.5, "yes": 1}
    words = shlex.split(texts["curl"].replace("\\\n", " "))
    assert words[:2] == ["curl", f"{dashboard.url}/jobs"]
    assert json.loads(words[words.index("-d") + 1]) == body
    assert spec_of_python(texts["Python"]) == body
    assert spec_of_command(texts["Command line"]) == body


def spec_of_python(text: str) -> dict:
    """What ``client.jobs.submit`` sends, by its own rules."""
    call = next(
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "submit"
    )  # fmt: skip
    spec = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    dataset = {split: spec.pop(split) for split in ("train", "validation", "test") if split in spec}
    return spec | {"dataset": dataset}


def spec_of_command(text: str) -> dict:
    """What ``tunery jobs create`` sends."""
    words = shlex.split(text.replace("\\\n", " ").split("\n", 1)[-1])
    assert words.pop() == "--follow"
    assert words[:3] == ["tunery", "jobs", "create"]
    spec: dict = {}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        match option:
            case "--set":
                apply_setting(spec, value)
            case "--metadata":
                spec.setdefault("metadata", {}).update([value.split("=", 1)])
            case "--train" | "--test":
                spec.setdefault("dataset", {})[option[2:]] = value
            case "--validation":
                spec.setdefault("dataset", {})["validation"] = float(value)
            case _:
                spec[option[2:]] = value
    return spec


def test_a_bad_file_is_refused_with_its_row_and_csv_is_read_as_it_is_meant(dashboard):
    page = dashboard.open("#/new")
    page.locator("input[type=file]").set_input_files(
        {"name": "bad.jsonl", "mimeType": "text/plain", "buffer": b'{"text": "a", "label": "b"}\n{"text": nope}\n'}
    )
    expect(page.get_by_role("alert")).to_contain_text("Row 2 is not valid JSON")
    page.locator("input[type=file]").set_input_files(
        {"name": "good.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
    )
    rows = page.get_by_role("region", name="First rows of good.csv").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1).get_by_role("cell").first).to_have_text('a, good "film"')
    expect(rows.nth(2).get_by_role("cell").first).to_have_text("two\nlines", use_inner_text=True)
    expect_refusals(dashboard)


def test_labels_and_columns_of_users_are_shown_as_text(dashboard):
    rows = b"".join(
        json.dumps({"text": f"{HOSTILE} {n}", HOSTILE: (HOSTILE, "fine")[n % 2]}).encode() + b"\n" for n in range(20)
    )
    file = upload(dashboard.url, "hostile.jsonl", rows)
    page = dashboard.open(f"#/new?train={file}&model=tiny")
    expect(page.get_by_role("region", name="First rows").get_by_text(HOSTILE).first).to_be_visible()
    page.get_by_label("Label", exact=True).select_option(HOSTILE)
    expect(page.get_by_text(f"2: {HOSTILE}", exact=False).first).to_be_visible()
    dashboard.open(f"#/data/{file}")
    expect(page.get_by_role("region", name="Columns").get_by_text(HOSTILE)).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img").count() == 0
    expect_refusals(dashboard)
