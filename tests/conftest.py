"""What every test may ask for."""

from stores import redis_url, service_database, stores

__all__ = ["redis_url", "service_database", "stores"]
