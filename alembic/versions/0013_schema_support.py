"""which code works on this schema, and what a job's worker must know"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op

revision: str = "0013"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    support = op.create_table(
        "schema_support",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest_code", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema_support")),
    )
    op.bulk_insert(support, [{"id": 1, "oldest_code": "0013"}])  # older code does not ask
    op.add_column("jobs", sa.Column("contract_version", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    # In no batch: SQLite would make the table anew, and rows of others would go with the old one.
    op.drop_column("jobs", "contract_version")
    op.drop_table("schema_support")
