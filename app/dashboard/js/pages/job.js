/** One job: how it stands, what it learned, what it learned from. */

import { get, hasRoute, path } from "../api.js";
import { toastProblem } from "../components/problem.js";
import { tabs } from "../components/tabs.js";
import { jobFeed } from "../jobs/feed.js";
import { hasEnded, jobName } from "../jobs/words.js";
import { rememberQuery, setTitle } from "../router.js";
import { buildCheckpoints } from "./job/checkpoints.js";
import { buildData } from "./job/data.js";
import { buildEvaluation, hasEvaluation } from "./job/evaluation.js";
import { buildEvents } from "./job/events.js";
import { jobHeader } from "./job/header.js";
import { buildLog } from "./job/log.js";
import { buildMistakes, hasMistakes } from "./job/mistakes.js";
import { buildOverview } from "./job/overview.js";
import { buildSpec } from "./job/spec.js";

/** @param {HTMLElement} root @param {import("../router.js").PageContext} context */
export async function mount(root, { params, query, signal }) {
  const feed = jobFeed(await get(path`/jobs/${params.id}`, {}, signal), signal);
  const isTraining = feed.job.kind === "training";
  setTitle(jobName(feed.job));
  let hasLooked = false;
  const view = tabs({
    label: "Parts of the job",
    selected: query.get("tab"),
    signal,
    onSelect: (id) => rememberQuery({ tab: id === "overview" ? null : id }),
    tabs: [
      { id: "overview", label: "Overview", build: (panel) => buildOverview(panel, feed, signal, query) },
      { id: "evaluation", label: "Evaluation", isHidden: !hasEvaluation(feed.job), build: (panel) => buildEvaluation(panel, feed) },
      { id: "mistakes", label: "Mistakes", isHidden: true, build: (panel) => buildMistakes(panel, feed, signal, query) },
      { id: "data", label: "Data", isHidden: !feed.job.data_report, build: (panel) => buildData(panel, feed) },
      { id: "checkpoints", label: "Checkpoints", isHidden: !isTraining, build: (panel) => buildCheckpoints(panel, feed, signal) },
      { id: "events", label: "Events", build: (panel) => buildEvents(panel, feed) },
      { id: "log", label: "Log", build: (panel) => buildLog(panel, feed, signal) },
      { id: "spec", label: "Spec", build: (panel) => buildSpec(panel, feed) },
    ],
  });
  feed.onJob((job) => {
    view.show("evaluation", hasEvaluation(job));
    view.show("data", Boolean(job.data_report));
    if (hasEnded(job)) lookForMistakes().catch(toastProblem);
  });
  root.append(jobHeader(feed), view.element);
  root.dataset.ready = "true";

  /** Servers that do not know them, and jobs that keep none, have no such tab. */
  async function lookForMistakes() {
    if (hasLooked || !isTraining || feed.job.status !== "succeeded") return;
    hasLooked = true;
    if (!(await hasRoute("/jobs/{job_id}/mistakes")) || !(await hasMistakes(feed.job.id, signal))) return;
    feed.hasMistakes = true;
    view.show("mistakes", true);
    feed.take(feed.job);
    if (query.get("tab") === "mistakes") view.select("mistakes");
  }
  if (hasEnded(feed.job)) lookForMistakes().catch(toastProblem);
}
