"""Training without padding: the tokens of a batch side by side, attention in a few groups of like length."""
