/**
 * Curves as columns of numbers. A hundred thousand points are two arrays, and not a hundred thousand objects.
 *
 * @typedef {{step: number, epoch: number, name: string, value: number, created_at: string}} Point as `GET /jobs/{job_id}/metrics` answers
 */

const FIRST_CAPACITY = 256;

/** The values of one metric by step, ascending; a step that comes again takes the place of what it was. */
export class Series {
  #steps = new Float64Array(FIRST_CAPACITY);
  #values = new Float64Array(FIRST_CAPACITY);
  length = 0;
  /** Counts changes, so that what was computed of it can be kept. */
  version = 0;

  /** @returns {Float64Array} */
  get steps() {
    return this.#steps.subarray(0, this.length);
  }

  /** @returns {Float64Array} */
  get values() {
    return this.#values.subarray(0, this.length);
  }

  /** @param {number} step @param {number} value */
  put(step, value) {
    this.version += 1;
    let at = this.length;
    if (at > 0 && this.#steps[at - 1] >= step) {
      at = lowerBound(this.steps, step);
      if (this.#steps[at] === step) {
        this.#values[at] = value;
        return;
      }
    }
    if (this.length === this.#steps.length) this.#grow();
    this.#steps.copyWithin(at + 1, at, this.length);
    this.#values.copyWithin(at + 1, at, this.length);
    this.#steps[at] = step;
    this.#values[at] = value;
    this.length += 1;
  }

  #grow() {
    for (const name of ["steps", "values"]) {
      const larger = new Float64Array(this.length * 2);
      larger.set(name === "steps" ? this.#steps : this.#values);
      if (name === "steps") this.#steps = larger;
      else this.#values = larger;
    }
  }
}

/** @param {Float64Array} sorted @param {number} wanted @returns {number} where the first one stands that is not smaller */
export function lowerBound(sorted, wanted) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * As many points as can be told apart: of each bucket of steps the lowest and the highest value, in their order, so that no peak is
 * lost. What lies outside of the range is left out, but for the nearest point on either side, to which the line goes on.
 * @param {Float64Array} steps ascending
 * @param {Float64Array} values
 * @param {{from?: number, to?: number, buckets?: number}} [view]
 * @returns {{x: number[], y: number[]}} at most twice as many points as buckets, and four
 */
export function decimate(steps, values, { from = -Infinity, to = Infinity, buckets = 600 } = {}) {
  const start = Math.max(0, lowerBound(steps, from) - 1);
  const end = Math.min(steps.length, lowerBound(steps, to) + 2);
  if (end - start <= 2 * buckets) return { x: Array.from(steps.subarray(start, end)), y: Array.from(values.subarray(start, end)) };
  const [x, y] = [[], []];
  const take = (i) => {
    x.push(steps[i]);
    y.push(values[i]);
  };
  take(start);
  const width = (end - start - 2) / buckets;
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const first = start + 1 + Math.floor(bucket * width);
    const behind = start + 1 + Math.floor((bucket + 1) * width);
    let [low, high] = [first, first];
    for (let i = first; i < behind; i += 1) {
      if (values[i] < values[low]) low = i;
      if (values[i] > values[high]) high = i;
    }
    if (behind <= first) continue;
    take(Math.min(low, high));
    if (low !== high) take(Math.max(low, high));
  }
  take(end - 1);
  return { x, y };
}

/**
 * An exponential moving average whose beginning is not drawn towards 0 (the correction of Adam, Kingma & Ba 2015, section 3).
 * @param {Float64Array} values
 * @param {number} weight of what was before, from 0 (no smoothing) to below 1
 * @returns {Float64Array}
 */
export function smooth(values, weight) {
  const out = new Float64Array(values.length);
  let [mean, rest] = [0, 1];
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) {
      out[i] = values[i];
      continue;
    }
    mean = weight * mean + (1 - weight) * values[i];
    rest *= weight;
    out[i] = mean / (1 - rest);
  }
  return out;
}
