"""What can be done with projects: make, list, limit."""

from sqlalchemy.exc import IntegrityError

from app import ids
from app.audit import made
from app.clock import utc_now
from app.db import reading, transaction
from app.errors import Conflict
from app.key import limits, repository, service
from app.key.models import Project
from app.key.schemas import Limits, NewProject, ProjectList, ProjectOut


def create(wanted: NewProject) -> ProjectOut:
    """Raises Conflict when there is one of that name, or with it for an id."""
    row = Project(id=ids.new_id(ids.PROJECT), name=wanted.name, limits={}, created_at=utc_now())
    try:
        with transaction() as session:
            if repository.project(session, wanted.name) is not None:
                raise _taken(wanted.name)
            session.add(row)
    except IntegrityError as error:  # another was quicker
        raise _taken(wanted.name) from error
    made.tell(row.id)
    return out(row)


def list_projects() -> ProjectList:
    with reading() as session:
        data = [out(row) for row in repository.all_projects(session)]
    return ProjectList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)


def set_limits(name_or_id: str, wanted: Limits) -> ProjectOut:
    """Change those that are given; null takes one back. Other processes know within two seconds. Raises InvalidRequest."""
    with transaction() as session:
        row = service.require_project(session, name_or_id)
        given = wanted.model_dump(exclude_unset=True)
        row.limits = {name: most for name, most in (row.limits | given).items() if most is not None}
    limits.forget()
    return out(row)


def out(row: Project) -> ProjectOut:
    return ProjectOut(id=row.id, name=row.name, limits=Limits.model_validate(row.limits), created_at=row.created_at)


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a project {name!r}.", param="name", code="project_exists")
