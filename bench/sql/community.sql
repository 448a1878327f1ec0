-- name: community_tables
-- A table as the gateway makes it, and noise that is about normal and the same each time: the sum of
-- four hashes of minute, device and metric.
create schema room;
create table room.samples (
    device_id bigint not null, measured_at timestamptz not null,
    m0 real, m1 real, m2 real, m3 real, m4 real, m5 real, m6 real, m7 real, m8 real, m9 real,
    primary key (device_id, measured_at));
create function noise(m int, d int, k int) returns float8 language sql immutable as $$
    select sum(hashint4(m * 7919 + d * 104729 + k * 1299709 + i) / 2147483648.0) from generate_series(1, 4) i
$$;

-- name: community_samples
-- Ten metrics a minute as a heat pump has them: temperatures that drift with a tenth of a degree of noise,
-- a power and a speed that follow a load, a vibration, a voltage, a state; in steps of a sensor of 12 bits.
insert into room.samples
select {device}, timestamptz '2026-11-02' + m * interval '1 min',
       round((6 + 8 * sin(m / 229.0 + {device}) + 0.2 * noise(m, {device}, 1))::numeric, 1),
       round((35 + 6 * sin(m / 171.0 + {device}) + 0.3 * noise(m, {device}, 2))::numeric, 1),
       round((28 + 5 * sin(m / 171.0 + {device}) + 0.3 * noise(m, {device}, 3))::numeric, 1),
       round((62 + 9 * sin(m / 57.0 + {device}) + 0.5 * noise(m, {device}, 4))::numeric, 1),
       round((-4 + 3 * sin(m / 229.0 + {device}) + 0.4 * noise(m, {device}, 5))::numeric, 1),
       round((1500 + 600 * sin(m / 57.0 + {device}) + 20 * noise(m, {device}, 6))::numeric, 0),
       round((55 + 30 * sin(m / 57.0 + {device}) + noise(m, {device}, 7))::numeric, 0),
       round((1.5 + 0.2 * sin(m / 57.0) + 0.1 * noise(m, {device}, 8))::numeric, 2),
       round((20 + 0.5 * noise(m, {device}, 9))::numeric, 1),
       case when (m / 360 + {device}) % 5 = 0 then 1 else 0 end
from generate_series(0, {minutes} - 1) m;

-- name: community_chunks
select format('%I.%I', chunk_schema, chunk_name) from timescaledb_information.chunks
where hypertable_schema = 'room' and hypertable_name = 'samples'
order by range_start;

-- name: community_size
-- Indexes, TOAST and the columnstore included.
select hypertable_size('room.samples');

-- name: community_versions
select format('PostgreSQL %s, TimescaleDB %s, %s licence', current_setting('server_version'), extversion,
              current_setting('timescaledb.license'))
from pg_extension where extname = 'timescaledb';
