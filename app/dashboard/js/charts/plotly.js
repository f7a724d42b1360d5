/**
 * Plotly, out of the installed package. It is fetched when the first chart is to be drawn, and not before.
 *
 * The page's policy forbids styles within the page, and Plotly brings two: one for all charts, which it leaves to the page if it finds
 * an element of that name and class (`styles/charts.css` has what our charts need), and one for maps, which we do not draw.
 */

const SOURCE = "/dashboard/plotly.min.js";
/** @type {Promise<*>|null} */
let loading = null;

/** @returns {Promise<*>} the library */
export function loadPlotly() {
  loading ??= new Promise((resolve, reject) => {
    const { head } = document;
    const mark = document.createElement("meta");
    mark.id = "plotly.js-style-global";
    mark.className = "no-inline-styles";
    const script = document.createElement("script");
    script.src = SOURCE;
    script.onload = () => {
      delete head.appendChild;
      resolve(window.Plotly);
    };
    script.onerror = () => {
      delete head.appendChild;
      loading = null;
      reject(new Error("The charts could not be loaded."));
    };
    head.append(mark, script);
    head.appendChild = (node) => (node.nodeName === "STYLE" ? node : Node.prototype.appendChild.call(head, node));
  });
  return loading;
}
