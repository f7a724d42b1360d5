/** Starts the dashboard: side bar, connection notice, router. */

import { CONNECTION_CHANGED, hasRoute } from "./api.js";
import { icon } from "./components/icons.js";
import { h, replace } from "./dom.js";
import { tickTimes } from "./format.js";
import { KEY_CHANGED, currentKey, forgetKey, pageChanged } from "./key.js";
import { ROUTES } from "./routes.js";
import { ROUTE_CHANGED, href, startRouter } from "./router.js";
import { themeButton } from "./theme.js";

const TICK_SECONDS = 10;

function buildSidebar() {
  const links = ROUTES.filter((route) => route.nav).map((route) => ({
    path: route.path,
    element: h("a", { href: href(route.path), hidden: "needs" in route.nav }, icon(route.nav.icon), route.nav.label),
  }));
  for (const [i, { nav }] of ROUTES.filter((route) => route.nav).entries()) {
    if (nav.needs) hasRoute(nav.needs).then((has) => (links[i].element.hidden = !has), () => {}); // unreachable: the page says so
  }
  const forget = h("button", { type: "button", onclick: forgetKey }, icon("key"), h("span", { class: "word" }, "Forget the API key"));
  forget.setAttribute("aria-label", "Forget the API key");
  const docs = h("a", { href: "/docs", target: "_blank", rel: "noopener", "aria-label": "API reference, in a new tab" },
    icon("book"), h("span", { class: "word" }, "API reference"));
  const showKey = () => {
    forget.hidden = currentKey() === null;
    docs.hidden = currentKey() !== null; // a link cannot send the key
  };
  document.addEventListener(KEY_CHANGED, showKey);
  showKey();
  document.addEventListener(ROUTE_CHANGED, pageChanged);
  document.addEventListener(ROUTE_CHANGED, (event) => {
    const route = event.detail;
    for (const link of links) {
      if (route !== null && link.path === (route.section ?? route.path)) link.element.setAttribute("aria-current", "page");
      else link.element.removeAttribute("aria-current");
    }
  });
  replace(
    document.getElementById("sidebar"),
    h("a", { class: "brand", href: href("/jobs") }, h("img", { src: "/dashboard/assets/images/icon.svg", alt: "" }), "Tunery"),
    h("nav", { class: "nav", "aria-label": "Main" }, h("ul", null, links.map((link) => h("li", null, link.element)))),
    h("div", { class: "sidebar-foot" }, docs, forget, themeButton()),
  );
}

function watchConnection() {
  const banner = document.getElementById("connection");
  document.addEventListener(CONNECTION_CHANGED, (event) => {
    banner.textContent = event.detail ? "" : "The server cannot be reached; trying again …";
  });
}

/** The fragment is the router's, so that the link to the content moves the focus itself. */
function mindSkipLink(main) {
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}

const main = document.getElementById("main");
buildSidebar();
watchConnection();
mindSkipLink(main);
setInterval(() => document.hidden || tickTimes(), TICK_SECONDS * 1000);
startRouter(ROUTES, main);
