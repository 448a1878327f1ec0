-- Tables written by anomaly/ alone.
create schema anomaly;

-- What is normal for a product: learned from its healthy data. Plain arrays in JSON, never a pickle.
create table anomaly.baseline (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    revision integer not null,
    learned_from timestamptz not null,     -- event time
    learned_through timestamptz not null,
    parameters jsonb not null,
    quality jsonb not null,                -- rows, devices, explained variance per metric
    code_version text not null,
    created_at timestamptz not null,
    unique (product_id, revision)
);

-- Everything the scorer carries from window to window for a device; exact restart.
create table anomaly.scorer_state (
    device_id bigint primary key,
    baseline_id bigint references anomaly.baseline,
    scored_through timestamptz not null,   -- event time; end of the last scored window
    forecast_through timestamptz,          -- event time of the last forecast
    state jsonb not null
);

-- Observed and expected value per window and evidence metric: the chart's line and its normal band.
create table anomaly.expectation (
    device_id bigint not null,
    metric text not null,
    at timestamptz not null,               -- end of the window, event time
    observed real,
    expected real,
    spread real,                           -- one standard deviation of a healthy device
    score real,                            -- >= 0, higher is stranger, in spreads, smoothed
    primary key (device_id, metric, at)
);
select create_hypertable('anomaly.expectation', by_range('at', interval '14 days'), create_default_indexes => false);

create table anomaly.health (
    device_id bigint not null,
    failure_mode text not null,
    at timestamptz not null,
    score real not null,
    health_index real not null check (health_index between 0 and 1),
    primary key (device_id, failure_mode, at)
);
select create_hypertable('anomaly.health', by_range('at', interval '14 days'), create_default_indexes => false);

-- A change of state: scores crossed their threshold (raised) or came back (cleared).
create table anomaly.detection (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    kind text not null check (kind in ('wear', 'reported_fault', 'sensor')),
    failure_mode text not null,            -- for kind = sensor: the name of the metric
    change text not null check (change in ('raised', 'cleared')),
    at timestamptz not null,               -- event time
    score real not null,
    evidence jsonb not null,               -- anomaly.evidence.Evidence: metrics, since when, how far, sentence
    created_at timestamptz not null,
    unique (device_id, failure_mode, at, change)
);
create index on anomaly.detection (device_id, at desc);

create table anomaly.forecast (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    failure_mode text not null,
    made_at timestamptz not null,          -- event time
    status text not null check (status in ('learning', 'ok', 'declining', 'failed', 'no_data')),
    health_index real,
    p_fail_1d real check (p_fail_1d between 0 and 1),
    p_fail_7d real check (p_fail_7d between 0 and 1),
    p_fail_30d real check (p_fail_30d between 0 and 1),
    life_hours_q10 real,                   -- remaining life; null: beyond any horizon
    life_hours_q50 real,
    life_hours_q90 real,
    evidence jsonb not null default '{}',
    baseline_id bigint references anomaly.baseline,
    created_at timestamptz not null,
    unique (device_id, failure_mode, made_at)
);
create index on anomaly.forecast (device_id, made_at desc);

-- Findings that came back: labels for training, and where a baseline starts anew.
create table anomaly.label (
    finding_id bigint primary key,
    device_id bigint not null,
    failure_mode text not null,
    component text not null,
    verdict text not null,
    found_at timestamptz not null,         -- event time
    created_at timestamptz not null
);
create index on anomaly.label (device_id);
