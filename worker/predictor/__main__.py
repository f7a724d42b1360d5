"""``python -m worker.predictor``: serve predictions on a socket until told to stop."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the predictor. What is not given comes from the settings (``TUNERY_*``)."""
    # transformers imports it, where it is installed, for losses of tasks that are not ours: 35 MB. None: not to be found.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    import torch  # noqa: PLC0415  the environment below comes first

    from app import log  # noqa: PLC0415
    from app.config import Settings  # noqa: PLC0415
    from app.prediction.curve import curve_keys  # noqa: PLC0415
    from worker.predictor.server import Options, Server  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="worker.predictor", description="Serve finished models on a local socket.")
    parser.add_argument("--home", type=Path, help="folder of the service; models are served from below it only")
    parser.add_argument("--bind", help="ZeroMQ address: ipc:///path or tcp://address:port")
    parser.add_argument("--memory-bytes", type=int, help="memory that the loaded models may take")
    parser.add_argument("--batch-tokens", type=int, help="token budget of one forward")
    parser.add_argument("--cache-bytes", type=int, help="memory that the texts being generated may take")
    parser.add_argument("--queue-size", type=int, help="texts that may wait")
    parser.add_argument("--idle-seconds", type=float, default=1800.0, help="a model not asked for so long is unloaded")
    given = parser.parse_args(arguments)
    settings = Settings() if given.home is None else Settings(home=given.home)
    bind = given.bind or settings.predictor
    if "," in bind:
        parser.error(f"it listens at one address: --bind one of {bind}")
    log.configure(settings)
    options = Options(
        bind=bind,
        keys=curve_keys(settings, address=bind),
        artefacts_dir=settings.artefacts_dir,
        memory_bytes=given.memory_bytes or settings.predict_memory_bytes,
        batch_tokens=given.batch_tokens or settings.predict_batch_tokens,
        cache_bytes=given.cache_bytes or settings.predict_cache_bytes,
        queue_size=given.queue_size or settings.predict_queue_size,
        idle_seconds=given.idle_seconds,
    )
    torch.set_flush_denormal(True)  # as trainers do; threads take it over from the one that starts them
    return Server(options).run()


if __name__ == "__main__":
    # Threads of the model that spin for long while they wait would starve the one that talks to the socket; ones that sleep at
    # once would be woken a hundred times for one short text.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Processors that are busy with one batch have no use for threads that each tokenise a text or two of the next.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Kernels are compiled for each shape in a third of a millisecond, and hold up to a megabyte. OneDNN keeps as many as two
    # architectures of encoders need; what torch would keep beside it, for each thread, are the same ones once more.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
    # Tensors of megabytes come and go with every batch. In large pages, where the system has them to give, they come with a
    # hundredth of the faults: 1.05 times the texts/s of a small encoder.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Nothing is ever fetched to serve a model, whatever its configuration names.
    os.environ["HF_HUB_OFFLINE"] = "1"
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread may be in the middle of loading a model, which nobody needs now
