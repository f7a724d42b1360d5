from tests.hub.fixtures import fake_hub

__all__ = ["fake_hub"]
