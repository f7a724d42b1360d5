"""The core of Tunery and its HTTP server. Imports neither torch nor worker."""
