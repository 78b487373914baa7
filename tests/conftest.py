"""What every test may ask for."""

from hypothesis import settings
from stores import redis_url, service_database, stores

__all__ = ["redis_url", "service_database", "stores"]

# A change is judged by the same examples every time; `make test ARGS=--hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeat", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1_000)
settings.load_profile("repeat")
