"""The processes that do the work: the Celery worker, the trainer it starts, and the predictor."""
