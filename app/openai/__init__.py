"""OpenAI's shapes of what the native API tells and takes: pure functions between the two, for the routes below ``/v1``."""
