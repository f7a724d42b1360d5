"""Rows of labelled data: reading them, profiling them, and finding out what they mean. No SQL, no HTTP, no torch."""
