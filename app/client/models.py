"""``client.models``: base models and fine-tuned ones."""

from collections.abc import AsyncIterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from app.client import model_folders, pages
from app.client.address import segment
from app.client.operation import Resource, TransportT, id_of, iteration, operation, read
from app.job.schemas import JobModelOut, JobOut
from app.model.schemas import DeletedModelOut, ModelDetailOut, ModelOut

ModelLike = str | ModelOut | JobModelOut
"""A model's id, or the model."""


class Models(Resource[TransportT]):
    """What can be fine-tuned, and what can be asked."""

    @iteration
    async def list(self, *, after: str | None = None, page_size: int = 100) -> AsyncIterator[ModelOut]:
        """All models, newest first; pages are asked for as they are needed."""
        async for item in pages.items(self._connection, "/models", after=after, page_size=page_size):
            yield read(ModelOut, item)

    @operation
    async def get(self, model: ModelLike) -> ModelDetailOut:
        """A model with its files, its configuration and its card."""
        return read(ModelDetailOut, await self._connection.get(f"/models/{segment(id_of(model))}"))

    @operation
    async def add(self, name: str, folder: str | PathLike[str], *, shared: bool = False) -> ModelOut:
        """Register a base model from a folder that ``save_pretrained`` wrote: safetensors only. Admins may have it ``shared``.

        The same files again under the same name are no error. Raises Conflict for others, and LocalFileError.
        """
        return read(ModelOut, await model_folders.add_model(self._connection, name, Path(folder), shared=shared))

    @operation
    async def download(self, model: ModelLike, folder: str | PathLike[str], *, with_base: bool = True) -> Path:
        """Unpack a model into a new or empty folder, from which ``from_pretrained`` loads it.

        An attached adapter comes with its base in the folder ``base``, unless ``with_base`` is false. Raises LocalFileError.
        """
        target = Path(folder)
        await model_folders.download_model(self._connection, id_of(model), target, with_base=with_base)
        return target

    @operation
    async def delete(self, model: ModelLike) -> DeletedModelOut:
        """Delete a model. Raises Conflict if a job that has not ended needs it."""
        return read(DeletedModelOut, await self._connection.delete(f"/models/{segment(id_of(model))}"))

    @operation
    async def export(
        self,
        model: str | ModelOut | JobModelOut | JobOut,
        *,
        format: str = "onnx",  # noqa: A002  the name of the API
        options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> JobOut:
        """A job that writes a finished model down in another format; its one result file is a zip.

        ``options`` may hold ``priority``, ``max_runtime_seconds`` and ``metadata``.
        """
        path = f"/models/{segment(id_of(model))}/export"
        body = {"format": format, **(options or {})}
        return read(JobOut, await self._connection.make_job(path, body, idempotency_key=idempotency_key))
