"""What a process needs that is to be forked after it has imported the libraries of training."""

from typing import Final

FOR_FORKING: Final = {
    # Whether there is a GPU is asked without starting CUDA, which would not survive the fork.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # Nor would the threads that Arrow's allocator and numpy's linear algebra start when they are imported.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Of the environment, before the imports."""
