import pytest
from playwright.sync_api import expect

from app.db import transaction
from app.job import records
from tests.dashboard.archive import HOSTILE, settings_of

pytestmark = pytest.mark.xdist_group("dashboard")
pytest.importorskip("app.job.mistakes", reason="this service keeps no mistakes")

NUM_MISTAKES = 70


def mistake(number: int) -> dict:
    right, said = ("same", "other") if number % 7 == 6 else ("other", "same")
    return {
        "row": number + 1, "text": f"Text {number} {HOSTILE}", "text_pair": "and its partner", "label": right, "predicted": said,
        "missed": [right], "wrong": [said], "score": 0.99 - number / 200, "label_score": 0.01, "error": None,
    }  # fmt: skip


def test_a_cell_of_the_confusion_matrix_leads_to_its_examples(dashboard, archive):
    with settings_of(archive.home), transaction() as session:
        records.put_mistakes(
            session, archive.finished, split="validation", rows_of="validation", num_examples=300, num_wrong=70,
            mistakes=[mistake(number) for number in range(NUM_MISTAKES)],
        )  # fmt: skip
    page = dashboard.open(f"#/jobs/{archive.finished}?tab=evaluation")
    page.get_by_role("link", name="47", exact=True).first.click()
    panel = page.get_by_role("tabpanel", name="Mistakes")
    rows = panel.locator("tbody tr")
    expect(panel.get_by_text("70 of 300 examples of validation are answered wrongly")).to_be_visible()
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text(f"Text 0 {HOSTILE}")
    panel.get_by_role("button", name="Load more").click()
    expect(rows).to_have_count(60)
    panel.get_by_label("label", exact=True).select_option("same")
    panel.get_by_label("predicted", exact=True).select_option("other")
    expect(rows).to_have_count(10)
    page.reload()
    expect(rows).to_have_count(10)
    assert page.evaluate("window.hacked") is None
