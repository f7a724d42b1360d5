/**
 * What a model is asked with, by its task and by the data it was trained on.
 *
 * @typedef {{model: string, task: string, kind: "labels"|"score"|"entities"|"span"|"text", isPair: boolean, isChat: boolean, canStream: boolean, names: string[]}} Shape
 *   `names`: of the first and the second input
 */

import { ApiError, get, path } from "../api.js";

const GENERATING = ["text-generation", "text2text-generation"];

/** @param {string} id of a model, a checkpoint or a job @param {AbortSignal} signal @returns {Promise<Shape>} */
export async function shapeOf(id, signal) {
  const job = id.startsWith("ftjob-") ? await get(path`/jobs/${id}`, {}, signal) : null;
  const modelId = job?.model?.id ?? id;
  const model = modelId.startsWith("ft:") ? await get(path`/models/${modelId.replace(/:ckpt-step-\d+$/, "")}`, {}, signal) : null;
  const made = job ?? (model?.job_id ? await quietly(get(path`/jobs/${model.job_id}`, {}, signal)) : null);
  return shape(modelId, model?.task ?? made?.spec?.task ?? "text-classification", made?.spec ?? {});
}

/** Jobs may be gone while their models are there. */
async function quietly(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof ApiError) return null;
    throw error;
  }
}

function shape(model, task, spec) {
  const isChat = task === "text-generation" && spec.prompt_format === "chat";
  const isAnswering = task === "question-answering";
  const generates = GENERATING.includes(task);
  const kind = generates ? "text" : isAnswering ? "span" : task === "token-classification" ? "entities" : spec.problem_type === "regression" ? "score" : "labels";
  return {
    model, task, kind, isChat,
    isPair: isAnswering || Boolean(spec.columns?.text_pair && spec.columns.text_pair !== "auto"),
    canStream: task === "text-generation",
    names: isAnswering ? ["Question", "Context"] : generates ? [task === "text-generation" ? "Prompt" : "Source", "What it is about"] : ["Text", "Second text"],
  };
}

/** The parameters that mean something for a task, by their names in the API. @param {Shape} shape @returns {string[]} */
export function parametersOf({ kind }) {
  return {
    labels: ["top_k", "threshold", "function_to_apply"],
    score: ["function_to_apply"],
    entities: ["threshold"],
    span: ["top_k", "max_answer_len", "handle_impossible_answer"],
    text: ["max_new_tokens", "do_sample", "temperature", "top_p", "top_k", "repetition_penalty", "stop", "seed"],
  }[kind];
}
