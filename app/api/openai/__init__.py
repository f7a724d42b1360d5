"""The surface below ``/v1``, which the official OpenAI clients call."""
