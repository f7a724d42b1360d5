"""``python -m app.cli``: the same as ``tunery``."""

from app.cli import main

main()
