"""The contract between the API, the worker and the trainer: what a job is. No SQL, no HTTP, no torch."""
