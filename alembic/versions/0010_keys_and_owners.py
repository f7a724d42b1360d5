"""API keys, projects, and which project owns what"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

OWNED = ("jobs", "files", "models", "studies", "webhooks")
INDEXES = {
    "ix_jobs_project": ("jobs", ["project_id", "id"]),
    "ix_jobs_project_status": ("jobs", ["project_id", "status", "id"]),
    "ix_jobs_project_kind": ("jobs", ["project_id", "kind", "id"]),
    "ix_files_project": ("files", ["project_id", "id"]),
    "ix_models_project": ("models", ["project_id", "created_at", "id"]),
    "ix_studies_project": ("studies", ["project_id", "id"]),
}


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("limits", types.Json(none_as_null=True), nullable=False),
        sa.Column("created_at", types.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.execute(
        "INSERT INTO projects (id, name, limits, created_at) VALUES ('default', 'default', '{}', CURRENT_TIMESTAMP)"
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", types.Json(none_as_null=True), nullable=False),
        sa.Column("created_at", types.Instant(timezone=True), nullable=False),
        sa.Column("expires_at", types.Instant(timezone=True), nullable=True),
        sa.Column("revoked_at", types.Instant(timezone=True), nullable=True),
        sa.Column("last_used_at", types.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_api_keys_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id"])
    for table in OWNED:
        op.add_column(table, _owner())
    op.add_column("models", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.add_column(_owner())
        batch.drop_constraint("pk_idempotency_keys", type_="primary")
        batch.create_primary_key("pk_idempotency_keys", ["project_id", "key"])
    _rekey_studies(["project_id", "idempotency_key"], instead_of=["idempotency_key"])


def downgrade() -> None:
    _rekey_studies(["idempotency_key"], instead_of=["project_id", "idempotency_key"])
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.drop_constraint("pk_idempotency_keys", type_="primary")
        batch.create_primary_key("pk_idempotency_keys", ["key"])
        batch.drop_column("project_id")
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)
    op.drop_column("models", "shared")
    for table in OWNED:
        op.drop_column(table, "project_id")
    op.drop_table("api_keys")
    op.drop_table("projects")


def _owner() -> sa.Column[str]:
    return sa.Column("project_id", sa.String(length=64), nullable=False, server_default="default")


def _rekey_studies(columns: list[str], *, instead_of: list[str]) -> None:
    """SQLite can only make the table anew for that, and its trials would go with the old one: they are put back."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("CREATE TEMPORARY TABLE kept_trials AS SELECT * FROM trials")
    with op.batch_alter_table("studies") as batch:
        batch.drop_constraint(f"uq_studies_{'_'.join(instead_of)}", type_="unique")
        batch.create_unique_constraint(f"uq_studies_{'_'.join(columns)}", columns)
    if is_sqlite:
        op.execute("INSERT INTO trials SELECT * FROM kept_trials")
        op.execute("DROP TABLE kept_trials")
