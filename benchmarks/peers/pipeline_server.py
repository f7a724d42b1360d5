"""What people write: a transformers pipeline behind one FastAPI endpoint. ``python pipeline_server.py MODEL_FOLDER PORT``.

The endpoint is a plain function, so FastAPI runs it in its pool of threads; nothing is put together into batches.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()


class Question(BaseModel):
    text: str


@app.post("/predict")
def predict(question: Question) -> list[dict[str, str | float]]:
    """Every label with its score, the best first."""
    return app.state.classifier(question.text, truncation=True, top_k=None)


if __name__ == "__main__":
    folder, port = sys.argv[1], int(sys.argv[2])
    app.state.classifier = pipeline("text-classification", model=folder, dtype="float32")
    uvicorn.run(app, host="127.0.0.1", port=port)
