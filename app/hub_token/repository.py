"""SQL of the Hub tokens."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.hub_token.models import HubToken


def get(session: Session, project_id: str) -> HubToken | None:
    return session.get(HubToken, project_id)


def remove(session: Session, project_id: str) -> bool:
    """False if there was none."""
    statement = delete(HubToken).where(HubToken.project_id == project_id).returning(HubToken.project_id)
    return session.execute(statement).first() is not None
