"""Serving without padding, in bfloat16, with answers that do not depend on what else is in the batch (docs/adr/0013)."""
