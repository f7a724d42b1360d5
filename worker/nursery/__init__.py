"""Trainers that are born warm: forked from a process that has imported everything and run nothing (docs/adr/0006)."""
