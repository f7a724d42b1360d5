"""What a model is to do, told by what it is and by the columns of its training data."""

from app.dataset.answers import holds_answers
from app.dataset.generation import holds_texts_to_learn
from app.dataset.profile import DatasetProfile
from app.dataset.tagging import holds_tags
from app.spec.base import TASK_OF, TaskName
from app.spec.job import JobSpec


def find_task(train: DatasetProfile, *, spec: JobSpec, is_encoder_decoder: bool) -> TaskName:
    """What was asked for; else the one thing that an encoder-decoder does; else what the columns can mean alone.

    Text classification where they leave it open.
    """
    if spec.task != "auto":
        return spec.task
    if spec.problem_type != "auto":
        return TASK_OF[spec.problem_type]
    if is_encoder_decoder:
        return "text2text-generation"
    if holds_tags(train, columns=spec.columns):
        return "token-classification"
    if holds_answers(train, columns=spec.columns):
        return "question-answering"
    return "text-generation" if holds_texts_to_learn(train, columns=spec.columns) else "text-classification"
