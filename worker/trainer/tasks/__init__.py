"""One file per machine-learning task: what only that task knows."""
