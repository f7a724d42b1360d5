/**
 * Elements, built so that text from users stays text: strings become text nodes, and there is no way to give HTML.
 *
 * @typedef {Node|string|number|null|undefined|false|Child[]} Child
 */

const SVG = "http://www.w3.org/2000/svg";
/** Set as properties, because the attribute of that name says only how an element began. */
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate", "hidden", "open"]);

/**
 * @param {string} tag
 * @param {Object<string, *>|null} [props] `on…` are listeners, `style` and `dataset` objects, null and false left out
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  setProps(element, props);
  append(element, children);
  return element;
}

/**
 * @param {string} tag
 * @param {Object<string, *>|null} [props]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  setProps(element, props);
  append(element, children);
  return element;
}

function setProps(element, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || (value === false && !PROPERTIES.has(name))) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, part] of Object.entries(value)) element.style.setProperty(key, String(part));
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.has(name) && name in element) element[name] = value;
    else element.setAttribute(name === "className" ? "class" : name, value === true ? "" : String(value));
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * @template {Element} T
 * @param {T} element
 * @param {...Child} children the only ones it has from now on
 * @returns {T}
 */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * Build the children anew only if what they are made of has changed, so that focus and selection stay where they are.
 * @param {Element} element
 * @param {*} made what `build` depends on; compared as JSON
 * @param {() => Child|Child[]} build
 */
export function patch(element, made, build) {
  const signature = JSON.stringify(made) ?? "";
  if (drawn.get(element) === signature) return;
  drawn.set(element, signature);
  replace(element, build());
}

/** @type {WeakMap<Element, string>} */
const drawn = new WeakMap();

/**
 * Keep the children of `parent` in the order of `items`, making, updating and dropping as few as possible.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => {element: Element, update: (item: T) => void}} create
 * @param {Map<string, {element: Element, update: (item: T) => void}>} known kept by the caller from call to call
 */
export function keyed(parent, items, key, create, known) {
  const keys = new Set(items.map(key));
  for (const [name, view] of known) {
    if (keys.has(name)) continue;
    view.element.remove();
    known.delete(name);
  }
  let before = parent.firstElementChild;
  for (const item of items) {
    let view = known.get(key(item));
    if (view === undefined) {
      view = create(item);
      known.set(key(item), view);
    }
    view.update(item);
    if (view.element === before) before = before.nextElementSibling;
    else parent.insertBefore(view.element, before);
  }
}

let counter = 0;

/** @returns {string} an id for `for`, `aria-labelledby` and the like */
export function uniqueId(prefix = "id") {
  counter += 1;
  return `${prefix}-${counter}`;
}
