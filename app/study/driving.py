"""What moves a study: take in what its jobs have come to, end trials that promise little, begin the next ones, end it.

Leaderless and level-triggered, as the sweep of leases is: any process may do it at any time, and looks at what is rather than at
what happened. Optuna and the hub are asked with no transaction open; then each decision is one transaction under the lock of the
study's row, which looks again whether it still holds. A trial and its job are stored together, under a number that is taken once.
"""

from app.study.beginning import begin_next
from app.study.importances import weigh
from app.study.pruning import prune
from app.study.settling import settle


def drive(study_id: str) -> None:
    """Do all that can be done for the study now. Doing it twice, or twice at a time, does no more.

    Raises DBAPIError when the database is away; what was committed until then stands.
    """
    while True:
        settled = settle(study_id)
        if settled.num_ended:
            weigh(study_id)
        if settled.is_over:
            return
        prune(study_id)
        if not begin_next(study_id):
            return
