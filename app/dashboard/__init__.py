"""The dashboard at ``/``: static files that talk to the public API alone, and what serves them."""
