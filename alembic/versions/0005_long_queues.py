"""what a claim looks for in a long queue stands in columns and indexes"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("processes", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("nodes", sa.Integer(), nullable=False, server_default="1"))
    jobs = sa.table(
        "jobs", sa.column("spec", sa.JSON), sa.column("processes", sa.Integer), sa.column("nodes", sa.Integer)
    )
    asked = {
        name: sa.func.coalesce(jobs.c.spec[("resources", name)].as_integer(), 1) for name in ("processes", "nodes")
    }
    op.execute(sa.update(jobs).values(asked))
    op.drop_index("ix_jobs_claim", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_nodes", "jobs", ["status", "nodes"])


def downgrade() -> None:
    op.drop_index("ix_jobs_nodes", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", "priority", "id"])
    op.create_index("ix_jobs_claim", "jobs", ["status", "not_before", "priority", "id"])
    op.drop_column("jobs", "nodes")
    op.drop_column("jobs", "processes")
