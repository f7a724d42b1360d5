"""What may become of a delivery."""

from enum import StrEnum


class DeliveryState(StrEnum):
    PENDING = "pending"
    """To be sent, at once or again."""
    DELIVERED = "delivered"
    """The receiver has answered with 2xx."""
    GIVEN_UP = "given_up"
    """It failed for days."""
