"""What only one kind of task knows: a file each."""

from typing import Final

from app.dataset.resolved import ResolvedData
from worker.trainer.tasks.language_modeling import LanguageModeling
from worker.trainer.tasks.multi_label import MultiLabel
from worker.trainer.tasks.question_answering import QuestionAnswering
from worker.trainer.tasks.regression import Regression
from worker.trainer.tasks.sequence_to_sequence import SequenceToSequence
from worker.trainer.tasks.single_label import SingleLabel
from worker.trainer.tasks.task import Task, UnfitRowError
from worker.trainer.tasks.token_classification import TokenClassification

__all__ = ["Task", "UnfitRowError", "task_of"]

_ALL: Final = (
    SingleLabel, MultiLabel, Regression, TokenClassification, LanguageModeling, SequenceToSequence, QuestionAnswering,
)  # fmt: skip
_TASKS: Final = {task.problem_type: task for task in _ALL}


def task_of(data: ResolvedData) -> Task:
    return _TASKS[data.problem_type](data)
