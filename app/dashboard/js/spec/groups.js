/** Where the form shows which field. What is in no list stands in the last group, so that nothing is ever missing. */

/** Shown at once. */
export const BASIC = ["training.num_train_epochs", "training.learning_rate", "training.per_device_train_batch_size", "training.max_length", "training.seed"];

/** Fields that have a place of their own in the form. */
const OWN = ["model", "task", "dataset.train", "dataset.validation", "dataset.test", "dataset.name", "dataset.config", "columns.text", "columns.text_pair",
  "columns.label", "suffix", "metadata"];

/** @type {[string, RegExp][]} */
const GROUPS = [
  ["LoRA adapter", /^adapter\./],
  ["Labels, task and measures", /^(problem_type|label_names|metrics|prompt_format)$|class_weights|label_smoothing/],
  ["Length of training", /max_steps|early_stopping|max_runtime/],
  ["Optimizer and schedule", /lr_|warmup|weight_decay|adam_|max_grad_norm|layerwise|freeze/],
  ["Batches, memory and speed", /batch_size|gradient_|sampling|bf16|full_determinism|max_target_length|doc_stride|^resources\./],
  ["Evaluation, checkpoints and logs", /eval_|save_|logging_|report_to|metric_for_best|greater_is_better/],
  ["Source and queue", /^(model_revision|priority)$|^dataset\./],
];
const REST = "More";

/**
 * @param {import("./schema.js").Field[]} fields
 * @returns {[string, import("./schema.js").Field[]][]} those that are neither basic nor have a place of their own
 */
export function grouped(fields) {
  const groups = new Map([...GROUPS.map(([name]) => [name, []]), [REST, []]]);
  for (const field of fields) {
    if (OWN.includes(field.path) || BASIC.includes(field.path)) continue;
    const [name] = GROUPS.find(([, pattern]) => pattern.test(field.path)) ?? [REST];
    groups.get(name).push(field);
  }
  return [...groups].filter(([, found]) => found.length);
}
