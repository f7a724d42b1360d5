"""Keep what the trials tell about the parameters beside the study, so that looking at it needs no Optuna."""

from app.db import reading, transaction
from app.study import history, optimizer, repository


def weigh(study_id: str) -> None:
    with reading() as session:
        study = repository.get(session, study_id)
        if study is None:
            return
        seen = history.read(session, study)
    found = optimizer.importances(seen.problem, seen.past)
    if found is not None:
        with transaction() as session:
            repository.get_locked(session, study_id).importances = found
