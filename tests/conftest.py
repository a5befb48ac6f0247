"""A cache of decoded images that belongs to the tests alone, and the number of random examples."""

import hypothesis
import pytest
import torch

# The same few examples in every run; `pytest --hypothesis-profile=many` searches for new ones.
hypothesis.settings.register_profile("few", derandomize=True, database=None, deadline=None, max_examples=60)
hypothesis.settings.register_profile("many", database=None, deadline=None, max_examples=3000)
hypothesis.settings.load_profile("few")
torch.set_num_threads(1)  # networks this small spend their time waiting for a second thread


@pytest.fixture(autouse=True, scope="session")
def _image_cache(tmp_path_factory):
    """Decoded images stay out of the user's cache, those of the processes that tests start included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
