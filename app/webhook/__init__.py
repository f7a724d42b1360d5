"""Webhooks: who is told how jobs end. What is to be told is written with the end itself, and sent by whoever comes to it."""
