"""A cache of decoded images that belongs to the tests alone."""

import pytest
import torch

torch.set_num_threads(1)  # networks this small spend their time waiting for a second thread


@pytest.fixture(autouse=True, scope="session")
def _image_cache(tmp_path_factory):
    """Decoded images stay out of the user's cache, those of the processes that tests start included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
