-- Groups of devices that fail more often than others of the same age. Written by anomaly/ alone.

-- How far each product has been looked at. The row is the claim: whoever looks holds its lock.
create table anomaly.fleet_look (
    product_id bigint primary key,
    looked_through timestamptz,            -- event time, the end of a day; null: never yet
    groups integer not null default 0,     -- groups of failure modes that were looked at together
    updated_at timestamptz not null        -- wall time
);

-- One group of devices (a lot, a firmware, a city, a product) and one failure mode, as the newest look
-- saw it. Only groups that were ever worth watching have a row.
create table anomaly.emerging_issue (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    failure_mode text not null,
    trait text not null,                   -- lot, firmware, city, product
    value text not null,
    state text not null check (state in ('watched', 'flagged', 'cleared')),
    reason text not null,                  -- anomaly.fleet.issue.Reason, shown to people
    state_since timestamptz not null,      -- event time
    flagged_at timestamptz,                -- event time of the newest flag; null: never
    devices integer not null,
    well integer not null,                 -- members today that have not failed: at stake
    failures integer not null,             -- devices, at ages that others have had
    expected real not null,                -- failures at the others' rates at the same ages
    signs integer not null,                -- devices with a detection
    expected_signs real not null,
    ratio real not null,                   -- rate of failures over that of the others, and its 95 % interval
    ratio_low real not null,
    ratio_high real not null,
    log_evidence real not null,            -- natural logarithm of the e-value
    since timestamptz,                     -- event time of the first failure of the run
    shared_with jsonb not null,            -- anomaly.fleet.overlap.Overlap: groups of the same devices
    sentences jsonb not null,              -- anomaly.records.Sentence
    looked_through timestamptz not null,   -- event time
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (product_id, failure_mode, trait, value)
);

-- Every change of state, with the numbers of the look that made it. Never changed.
create table anomaly.emerging_issue_change (
    issue_id bigint not null references anomaly.emerging_issue,
    at timestamptz not null,               -- event time
    state text not null,
    reason text not null,
    devices integer not null,
    failures integer not null,
    expected real not null,
    ratio_low real not null,
    log_evidence real not null,
    created_at timestamptz not null,
    primary key (issue_id, at)             -- a look that is taken twice writes once
);
