-- Rollups and retention. Tables written by ingest/ alone.
create schema telemetry_hour;   -- one wide hypertable per product; made, widened and written by ingest
create schema telemetry_day;    -- the same, a row per UTC day

-- How far each device's samples are summed up in telemetry_hour and telemetry_day. What arrives behind
-- that lies either in the hour in which `rolled_through` is, which is summed up again, or under a late mark.
create table ingest.rollup (
    device_id bigint primary key,
    rolled_through timestamptz not null,   -- event time
    samples bigint not null,               -- ingest.progress.samples as it was then: another number is news
    rolled_at timestamptz not null,        -- wall time
    mark_id bigint not null default 0      -- the newest ingest.late_mark of the device that was dealt with
) with (fillfactor = 70);

-- What retention has dropped. An hour before `gone_before` is never summed up again: its samples are gone.
create table ingest.dropped (
    product_id bigint not null,
    kind text not null check (kind in ('raw', 'hourly', 'daily')),
    gone_before timestamptz not null,      -- event time
    dropped_at timestamptz not null,       -- wall time
    primary key (product_id, kind)
);

-- When a stream of ingest.stream was last seen to have gone on, so that those of boots long past can go.
-- Retention looks once a day; the hot path knows nothing of it.
create table ingest.stream_seen (
    device_id bigint not null,
    boot bigint not null,
    seq_stored bigint not null,            -- as it was then
    seen_at timestamptz not null,          -- wall time
    primary key (device_id, boot)
);
