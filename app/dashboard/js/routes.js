/**
 * Every page. A page is a module with `mount(root, {params, query, signal})`; it builds below `root`, begins with an `h1` that has
 * `tabindex="-1"`, and may be asynchronous: what it throws is shown in its place. A route with `nav` stands in the side bar, and
 * `section` names the path whose entry is marked while it is shown; `needs` a route without which the server has nothing to show there.
 *
 * @type {import("./router.js").Route[]}
 */
export const ROUTES = [
  { path: "/", title: "Jobs", load: () => import("./pages/jobs.js"), section: "/jobs" },
  { path: "/jobs", title: "Jobs", load: () => import("./pages/jobs.js"), nav: { label: "Jobs", icon: "jobs" } },
  { path: "/new", title: "New job", load: () => import("./pages/new.js"), section: "/jobs" },
  { path: "/data", title: "Data", load: () => import("./pages/data.js"), nav: { label: "Data", icon: "data" } },
  { path: "/data/:id", title: "File", load: () => import("./pages/file.js"), section: "/data" },
  { path: "/models", title: "Models", load: () => import("./pages/models.js"), nav: { label: "Models", icon: "model" } },
  { path: "/models/:id", title: "Model", load: () => import("./pages/model.js"), section: "/models" },
  { path: "/try", title: "Try it", load: () => import("./pages/try.js"), nav: { label: "Try it", icon: "chat" } },
  { path: "/compare", title: "Compare", load: () => import("./pages/compare.js"), nav: { label: "Compare", icon: "compare" } },
  { path: "/sweeps", title: "Sweeps", load: () => import("./pages/sweeps.js"), nav: { label: "Sweeps", icon: "sweep", needs: "/sweeps" } },
  { path: "/sweeps/new", title: "New sweep", load: () => import("./pages/new-sweep.js"), section: "/sweeps" },
  { path: "/sweeps/:id", title: "Sweep", load: () => import("./pages/sweep.js"), section: "/sweeps" },
  { path: "/workers", title: "Workers", load: () => import("./pages/workers.js"), nav: { label: "Workers", icon: "chip", needs: "/workers" } },
  { path: "/jobs/:id", title: "Job", load: () => import("./pages/job.js"), section: "/jobs" },
];
