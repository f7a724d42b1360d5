"""Whether a job can be done at all: the same rules in the API and, for what only it sees, in the trainer."""

from collections.abc import Sequence
from typing import Final

from app.errors import InvalidModel, InvalidRequest
from app.spec.base import TaskName
from app.spec.heads import has_head
from app.spec.job import JobSpec

_INSTEAD: Final[dict[TaskName, str]] = {
    "token-classification": "Take an encoder such as BERT, RoBERTa or ModernBERT.",
    "question-answering": "Take an encoder such as BERT, RoBERTa or ModernBERT. A decoder can learn to write the answers, if they "
    'are texts in a column: "task": "text-generation".',
    "text-generation": "Take a decoder such as Qwen3 or Llama.",
}


def check_model_fits(
    task: TaskName,
    *,
    model: str,
    model_type: str,
    architectures: Sequence[str],
    is_encoder_decoder: bool,
    is_decoder: bool,
) -> None:
    """Raise InvalidModel if ``model`` is an encoder-decoder and the task is not for one, or the other way round.

    The same if there is no head for the task that takes the weights of such a model.
    """
    if is_encoder_decoder == (task == "text2text-generation"):
        if not has_head(task, model_type=model_type, architectures=architectures, is_decoder=is_decoder):
            raise InvalidModel(
                f"{model} is a {model_type!r} model, which cannot be fine-tuned for {task}.",
                param="model",
                code="model_unsupported",
                hint=_INSTEAD[task],
            )
        return
    if is_encoder_decoder:
        raise InvalidModel(
            f"{model} is an encoder-decoder, which cannot be fine-tuned for {task}.",
            param="model",
            code="model_unsupported",
            hint='It learns to write answers: "task": "text2text-generation". Else take an encoder such as BERT, or a decoder '
            "such as Qwen3 or Llama.",
        )
    raise InvalidModel(
        f"{model} is no encoder-decoder, and {task} is for those alone.",
        param="model",
        code="model_unsupported",
        hint='Take one such as T5 or BART, or let a decoder learn the same rows with "task": "text-generation".',
    )


def check_parts_fit(spec: JobSpec) -> None:
    """Raise InvalidRequest if parts of a spec, as it was sent, contradict each other.

    A rate is given and a multiplier of the recipe's; or the weights are to be divided between processes and something else
    needs them in one.
    """
    if spec.training.learning_rate != "auto" and spec.training.learning_rate_multiplier != 1:
        raise InvalidRequest(
            "learning_rate is given, so there is no rate of the recipe that learning_rate_multiplier could multiply.",
            param="training.learning_rate_multiplier",
            hint="Leave one of them out.",
        )
    if spec.resources.fsdp and spec.adapter is not None and not spec.adapter.merge:
        raise InvalidRequest(
            "With resources.fsdp no process holds the whole base model that an attached adapter is measured on.",
            param="resources.fsdp",
            hint="Leave adapter.merge true, which publishes the whole model, or resources.fsdp false.",
        )
