"""The HTTP face: the only place, with app.main, that imports FastAPI."""
