-- Every training, asked for by somebody or begun by itself: how far it is, and what became of it. While one
-- runs its process holds a session lock, so a row that says `running` without one is of a process that died.
create table anomaly.training (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    reason text not null check (reason in ('asked', 'first', 'labels', 'month')),
    state text not null check (state in ('running', 'done', 'failed', 'died')),
    through timestamptz not null,          -- event time that the product's devices had in common when it began
    failures integer not null,             -- known then, all failure modes together
    step text not null default '',         -- what it is at, for people
    share real not null default 0,         -- of its steps, 0 to 1
    outcome text not null default '',
    began_at timestamptz not null,         -- wall time
    updated_at timestamptz not null        -- wall time of the last step; the end, when it has ended
);
create index on anomaly.training (product_id, id desc);

-- A training leaves one model per failure mode.
alter table anomaly.model add column training_id bigint references anomaly.training;  -- null: before there were rows of trainings
create unique index on anomaly.model (training_id, failure_mode);
