"""LitServe as its documentation shows it, with batches. ``python litserve_server.py MODEL_FOLDER PORT``.

bfloat16, at most 32 texts a batch, and at most 5 ms of waiting for one to fill; all else is LitServe's default.
"""

import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):
    def __init__(self, folder: str) -> None:
        super().__init__(max_batch_size=32, batch_timeout=0.005)
        self.folder = folder

    def setup(self, device: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        model = AutoModelForSequenceClassification.from_pretrained(self.folder, dtype=torch.bfloat16)
        self.model = model.to(device).eval()
        self.labels = [model.config.id2label[number] for number in range(model.config.num_labels)]

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    @torch.inference_mode()
    def predict(self, texts: list[str]) -> list[list[float]]:
        encoded = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(self.model.device)
        return self.model(**encoded).logits.float().softmax(-1).tolist()

    def encode_response(self, scores: list[float]) -> list[dict[str, str | float]]:
        """Every label with its score, the best first."""
        found = [{"label": label, "score": score} for label, score in zip(self.labels, scores, strict=True)]
        return sorted(found, key=lambda one: -one["score"])


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(sys.argv[1]))
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False)
