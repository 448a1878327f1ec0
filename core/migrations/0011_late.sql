-- Data that comes late: stored and scored for history, but nobody is alarmed by it.

-- Up to here a device's samples arrived more than its sheet's `late_after` behind the newest sample of
-- its product. What was forecast from them is history: it opens no ticket.
alter table ingest.progress add column late_through timestamptz;

-- A stretch of a device's history that changed after newer samples were stored: rollups and scores of
-- it are made anew. Each reader remembers the newest mark that it has dealt with.
create table ingest.late_mark (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    from_at timestamptz not null,          -- event time, both ends included
    through_at timestamptz not null,
    marked_at timestamptz not null         -- wall time
);
create index on ingest.late_mark (device_id, id);

-- How far the scorer has dealt with the marks of a device.
create table anomaly.rescored (
    device_id bigint primary key,
    mark_id bigint not null,
    from_at timestamptz not null,          -- event time from which history was scored anew
    rescored_at timestamptz not null       -- wall time
);
