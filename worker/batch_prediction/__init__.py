"""An attempt that asks a finished model about every row of a file."""
