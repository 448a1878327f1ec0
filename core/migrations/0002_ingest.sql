-- Tables written by ingest/ alone (besides the rows of telemetry.*).
create schema ingest;

-- Highest `seq` of a boot below which everything is stored: what `stored` answers to the device.
create table ingest.stream (
    device_id bigint not null,
    boot bigint not null,
    seq_stored bigint not null,
    primary key (device_id, boot)
) with (fillfactor = 70);                  -- rewritten with every batch: room for it in the page

-- How far a device's history is stored without a gap; scoring reads no further.
create table ingest.progress (
    device_id bigint primary key,
    first_measured_at timestamptz not null,
    measured_through timestamptz not null,
    received_at timestamptz not null,      -- wall time of the newest batch: *reporting*
    samples bigint not null                -- rows handed to storage, repeats included
) with (fillfactor = 70);

create table ingest.dead_letter (
    id bigint generated always as identity primary key,
    device_name text not null,
    topic text not null,
    payload bytea not null,
    digest bytea generated always as (sha256(payload)) stored,
    reason text not null,                  -- ingest.door.Refusal
    detail text not null,
    received_at timestamptz not null,      -- when it came first
    times bigint not null default 1,       -- how often it came: a device may send it again and again
    replayed_at timestamptz,
    replay_result text,
    unique (device_name, digest)
);
create index on ingest.dead_letter (received_at desc);
create index on ingest.dead_letter (device_name, received_at desc);
