"""studies, their trials, and which study a job is a trial of"""

from collections.abc import Sequence

import sqlalchemy as sa

from alembic import op
from app.db import base as types

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "studies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("spec", types.Json(none_as_null=True), nullable=False),
        sa.Column("requested_spec", types.Json(none_as_null=True), nullable=False),
        sa.Column("base_spec", types.Json(none_as_null=True), nullable=False),
        sa.Column("metadata", types.Json(none_as_null=True), nullable=False),
        sa.Column("created_at", types.Instant(timezone=True), nullable=False),
        sa.Column("started_at", types.Instant(timezone=True), nullable=True),
        sa.Column("finished_at", types.Instant(timezone=True), nullable=True),
        sa.Column("request", sa.String(length=8), nullable=True),
        sa.Column("requested_at", types.Instant(timezone=True), nullable=True),
        sa.Column("best_number", sa.Integer(), nullable=True),
        sa.Column("importances", types.Json(none_as_null=True), nullable=True),
        sa.Column("error", types.Json(none_as_null=True), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_studies_idempotency_key")),
    )
    op.create_index("ix_studies_status", "studies", ["status", "id"])
    op.create_table(
        "trials",
        sa.Column("study_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("params", types.Json(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("error", types.Json(none_as_null=True), nullable=True),
        sa.Column("created_at", types.Instant(timezone=True), nullable=False),
        sa.Column("finished_at", types.Instant(timezone=True), nullable=True),
        sa.Column("num_judged", sa.Integer(), nullable=False),
        sa.Column("pruned_at", types.Instant(timezone=True), nullable=True),
        sa.Column("optuna_attrs", types.Json(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_trials_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name=op.f("fk_trials_study_id_studies"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_trials")),
        sa.UniqueConstraint("job_id", name=op.f("uq_trials_job_id")),
    )
    op.add_column("jobs", sa.Column("study_id", sa.String(length=64), nullable=True))
    op.create_index("ix_jobs_study", "jobs", ["study_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_study", "jobs")
    op.drop_column("jobs", "study_id")
    op.drop_table("trials")
    op.drop_index("ix_studies_status", "studies")
    op.drop_table("studies")
