"""Make docs/images/dashboard-*.png from a running service:  .venv/bin/python docs/images/dashboard.py URL JOB_ID

JOB_ID is a finished job with curves, such as that of ``tunery demo``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.dashboard.browser import running_browser

FOLDER = Path(__file__).parent
SETTLED_MS = 1000


def main(url: str, job_id: str) -> None:
    shots = {
        "job": (f"#/jobs/{job_id}", "light"),
        "list": ("#/jobs", "light"),
        "dark": (f"#/jobs/{job_id}?tab=evaluation", "dark"),
        "new": (f"#/new?from={job_id}", "light"),
    }
    with running_browser() as browser:
        for name, (fragment, theme) in shots.items():
            page = browser.new_page(
                viewport={"width": 1280, "height": 860}, color_scheme=theme, reduced_motion="reduce"
            )
            page.goto(f"{url}/{fragment}")
            page.wait_for_selector(".page[data-ready=true]")
            if name == "job":
                page.wait_for_selector(".js-plotly-plot .trace")
            page.wait_for_timeout(SETTLED_MS)
            page.screenshot(path=FOLDER / f"dashboard-{name}.png")
            page.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
