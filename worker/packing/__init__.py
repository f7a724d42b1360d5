"""Transformers encoders whose tokens lie side by side without padding between examples: what training and serving share."""
