"""An attempt that writes a finished model down in another format."""
