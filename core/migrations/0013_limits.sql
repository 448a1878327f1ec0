-- What may be sent, beside the product sheets, and who has met a limit.
create table ingest.allowance (
    subject text not null check (subject in ('device', 'manufacturer')),
    subject_id bigint not null,
    counts text not null check (counts in ('messages', 'values')),
    allowances text not null,              -- "200 per 1 s, 3000 per 60 s"
    changed_at timestamptz not null,
    changed_by text not null,
    primary key (subject, subject_id, counts)
);

-- One episode in which a sender was over a limit. What it had numbered it sends again by itself; what it
-- had not is kept as a dead letter, up to a bound.
create table ingest.breach (
    id bigint generated always as identity primary key,
    subject text not null check (subject in ('device', 'manufacturer')),
    subject_id bigint not null,
    counts text not null check (counts in ('messages', 'values')),
    allowed text not null,                 -- "3000 per 60 s"
    began_at timestamptz not null,         -- wall time
    last_at timestamptz not null,
    resets_at timestamptz not null,
    messages bigint not null,              -- withheld; the same one again counts again
    metric_values bigint not null,
    letters bigint not null default 0,     -- kept as dead letters
    unkept bigint not null default 0       -- without a number, and beyond what is kept of one device
);
create index on ingest.breach (subject, subject_id, began_at desc);

-- A device whose clock is off: its samples are stored with the platform's time, and say so.
create table ingest.clock (
    device_id bigint primary key,
    ahead interval not null,               -- of the device's clock, by its newest message; negative: behind
    first_at timestamptz not null,         -- wall time
    last_at timestamptz not null,
    messages bigint not null
);

-- Messages that were stored with the platform's time. The same message again would get another time and
-- become a second row: it is known by its samples, as the device timed them.
create table ingest.shifted (
    device_id bigint not null,
    digest bytea not null,                 -- of the samples as they came
    ahead interval not null,               -- was taken off their times
    arrived_at timestamptz not null,
    primary key (device_id, digest)
);
create index on ingest.shifted (arrived_at);

-- Null: nothing to say. 1: the time is the platform's, the device's clock was off.
do $$
declare
    product text;
begin
    for product in select name from gateway.product loop
        execute format('alter table telemetry.%I add column if not exists _flags smallint', product);
        execute format('comment on column telemetry.%I._flags is %L', product,
                       'null: nothing to say; 1: the time is the platform''s, the device''s clock was off');
    end loop;
end
$$;
