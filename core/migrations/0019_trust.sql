-- What becomes of forecasts once it is known what came: rules over their budget, what earlier cases came
-- to, and drift. Written by anomaly/ alone.

-- How far each daily job has looked at each product. The row is the claim: whoever looks holds its lock.
create table anomaly.daily_look (
    product_id bigint not null,
    job text not null check (job in ('rules', 'precedents', 'drift')),
    looked_through timestamptz,            -- event time, the end of a day; null: never yet
    updated_at timestamptz not null,       -- wall time
    primary key (product_id, job)
);

-- The false alarms of one failure mode's rule since it was put in force, against its budget. maintenance/
-- reads `standing` when it decides.
create table anomaly.rule_standing (
    product_id bigint not null,
    failure_mode text not null,
    standing text not null check (standing in ('full', 'inspect_at_next_visit')),
    since timestamptz,                     -- event time of the newest change; null: never changed
    model_id bigint references anomaly.model,  -- whose forecasts are counted; null: the first layer's
    counted_from timestamptz,              -- event time; null: from the first forecast on
    counted_through timestamptz,           -- event time up to which device_years are counted
    right_alarms integer not null default 0,
    false_alarms integer not null default 0,
    unknown_alarms integer not null default 0,  -- nobody can ever say what they were worth
    waiting_alarms integer not null default 0,  -- nobody can say yet
    device_years double precision not null default 0,  -- in which forecasts were made
    budget_per_device_year real not null,
    evidence double precision not null default 1,  -- how much likelier the count is under an overdraft
    sentences jsonb not null default '[]', -- anomaly.records.Sentence
    updated_at timestamptz not null,
    primary key (product_id, failure_mode)
);

-- Every demotion and every reinstatement, with the figures of that moment. Never changed.
create table anomaly.rule_event (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    failure_mode text not null,
    model_id bigint references anomaly.model,
    change text not null check (change in ('demoted', 'reinstated')),
    event_at timestamptz not null,         -- event time
    right_alarms integer not null,
    false_alarms integer not null,
    device_years double precision not null,
    budget_per_device_year real not null,
    reason text not null,
    at timestamptz not null                -- wall time
);
create index on anomaly.rule_event (product_id, id desc);

-- What earlier cases of a failure mode came to, as far as it was known at the end of a day. A row is added
-- when that changes, so a forecast can be given what was known when it was made.
create table anomaly.precedent (
    product_id bigint not null,
    failure_mode text not null,
    known_through timestamptz not null,    -- event time
    summary jsonb not null,                -- anomaly.precedent.summary.Summary
    created_at timestamptz not null,
    primary key (product_id, failure_mode, known_through)
);
create index declining on anomaly.forecast (device_id, failure_mode, made_at) where status = 'declining';

-- What has drifted away from what was learned, as the newest look saw it.
create table anomaly.drift (
    product_id bigint not null,
    kind text not null check (kind in ('metric', 'condition', 'calibration')),
    name text not null,                    -- of the metric, or of the failure mode
    state text not null check (state in ('steady', 'drifted', 'unclear')),
    since timestamptz not null,            -- event time since when it has been in this state
    figure double precision,               -- stability index, or failures that came over those expected
    figures jsonb not null,                -- anomaly.drift: all numbers behind it
    sentences jsonb not null,              -- anomaly.records.Sentence
    looked_through timestamptz not null,   -- event time
    updated_at timestamptz not null,
    primary key (product_id, kind, name)
);

-- Forecasts that were made at the beginning of a month, and how many of them came true within it. Written
-- once, when the month is over: what was seen is never looked at with other eyes.
create table anomaly.calibration_block (
    product_id bigint not null,
    failure_mode text not null,
    speaker bigint not null,               -- anomaly.model, 0: the first layer
    block_at timestamptz not null,         -- event time, beginning
    forecasts integer not null,
    expected double precision not null,    -- failures, by the forecasts
    observed integer not null,
    log_ratios double precision[] not null,  -- per factor by which the odds of failing may be off
    created_at timestamptz not null,
    primary key (product_id, failure_mode, speaker, block_at)
);
