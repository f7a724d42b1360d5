"""An adapter asked through the API, and what the client is told when its base is damaged."""

from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.model.models import Model
from tests.predictor.tiny_adapters import make_adapter, make_base


def test_an_adapter_answers_unless_its_base_is_damaged(client, predictor):
    base = make_base(get_settings().artefacts_dir)
    adapter = make_adapter(base, "hurt", labels=("no", "maybe", "yes"))
    with transaction() as session:
        session.add(
            Model(
                id=adapter.id,
                kind="fine-tuned",
                base_model="tiny",
                task="text-classification",
                path=f"models/{adapter.folder.name}",
                manifest_sha256=adapter.manifest_sha256,
                weights_sha256="0" * 64,
                base_sha256=base.name,
                size_bytes=1,
                config={},
                metrics={},
                created_at=utc_now(),
            )
        )
    weights = base / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    question = {"model": adapter.id, "inputs": "the cat sat"}
    refused = client.post("/predict", json=question)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "artifact_corrupt")
    assert f"{base.name}/model.safetensors has changed" in refused.json()["detail"]
    weights.write_bytes(whole)
    (scores,) = client.post("/predict", json=question).json()["predictions"]
    assert {score["label"] for score in scores} == {"no", "maybe", "yes"}
