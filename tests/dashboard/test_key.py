import pytest
from playwright.sync_api import expect

from tests.contract.endpoints import running_api
from tests.dashboard.conftest import NO_PREDICTOR

pytestmark = pytest.mark.xdist_group("dashboard")

KEY = "sk-dashboard"
ASK_AGAIN = "import('/dashboard/assets/js/key.js').then((key) => key.askForKey(null))"


@pytest.fixture(scope="module")
def keyed_url(archive):
    with running_api(archive.home, NO_PREDICTOR, TUNERY_FIRST_API_KEY=KEY) as running:
        yield running


def test_the_user_is_asked_for_the_key_and_it_stays_in_the_tab(watched, keyed_url, archive):
    page, watch = watched
    page.goto(f"{keyed_url}/#/jobs")
    dialog = page.get_by_role("dialog", name="This server asks for an API key")
    field = dialog.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("sk-wrong")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("The key was not accepted.")
    dialog.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("tbody tr")).to_have_count(25)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(25)
    expect(dialog).to_be_hidden()

    page.goto(f"{keyed_url}/#/jobs/{archive.running}?tab=events")  # streams carry the key too
    expect(page.get_by_text("Event 2.")).to_be_visible()
    assert page.evaluate("Object.values(localStorage).concat(document.cookie).join()").find(KEY) < 0
    assert all(KEY not in request.url for request in watch.requests)

    page.get_by_role("button", name="Forget the API key").click()
    page.goto(f"{keyed_url}/#/jobs")
    expect(dialog).to_be_visible()
    assert all("401" in error for error in watch.errors), watch.errors
    watch.errors.clear()


def test_who_has_no_key_is_told_what_is_missing(watched, keyed_url):
    page, watch = watched
    page.goto(f"{keyed_url}/#/jobs")
    page.get_by_role("dialog").press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("This server asks for an API key.")
    assert page.evaluate(ASK_AGAIN) is False  # a request that is refused after that does not ask again
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto(f"{keyed_url}/#/models")
    expect(page.get_by_role("dialog")).to_be_visible()
    watch.errors.clear()
