-- What was learned from failures: every model that was ever trained, and which one speaks.
create table anomaly.model (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    failure_mode text not null,
    revision integer not null,
    data_from timestamptz not null,        -- event time
    data_through timestamptz not null,
    devices integer not null,              -- it was trained on; those it never saw are judged
    failures integer not null,
    features text[] not null,
    seeds integer[] not null,
    figures jsonb not null,                -- on devices that it never saw, beside the champion's
    parameters bytea not null,             -- anomaly.learn.model.ModeModel as MessagePack: plain arrays, nothing that runs
    code_version text not null,
    created_at timestamptz not null,
    unique (product_id, failure_mode, revision)
);

-- The champion speaks; a challenger in shadow is asked too, and only written down. No row: the first layer
-- speaks alone.
create table anomaly.model_role (
    product_id bigint not null,
    failure_mode text not null,
    role text not null check (role in ('champion', 'shadow')),
    model_id bigint not null references anomaly.model,
    since timestamptz not null,            -- wall time
    primary key (product_id, failure_mode, role)
);

-- Why each of them came and went.
create table anomaly.model_event (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    failure_mode text not null,
    model_id bigint references anomaly.model,  -- null: the first layer
    change text not null check (change in ('trained', 'refused', 'shadowed', 'promoted', 'restored', 'withdrawn')),
    reason text not null,
    at timestamptz not null                -- wall time
);
create index on anomaly.model_event (product_id, failure_mode, id desc);

alter table anomaly.forecast add column model_id bigint references anomaly.model;  -- null: the first layer

-- What a challenger would have said.
create table anomaly.shadow_forecast (
    device_id bigint not null,
    failure_mode text not null,
    made_at timestamptz not null,          -- event time
    model_id bigint not null references anomaly.model,
    p_fail_1d real not null,
    p_fail_7d real not null,
    p_fail_30d real not null,
    life_hours_q10 real,
    life_hours_q50 real,
    life_hours_q90 real,
    primary key (device_id, failure_mode, made_at, model_id)
);
