-- name: ingest_device_ids
select d.name, d.id
from gateway.device as d
join gateway.product as p on p.id = d.product_id
where p.name = %(product)s;

-- name: ingest_stored
-- Rows of one run, told from others by their time stamps, counted from the table itself.
select d.name, s.rows
from (
    select device_id, count(*) as rows
    from {table}
    where measured_at >= to_timestamp(%(from_ms)s / 1000.0) and measured_at < to_timestamp(%(until_ms)s / 1000.0)
    group by device_id
) as s
join gateway.device as d on d.id = s.device_id;

-- name: ingest_transactions
-- A row knows the transaction that wrote it: so many transactions took these rows.
select count(distinct t.xmin::text)
from {table} as t
where t.measured_at >= to_timestamp(%(from_ms)s / 1000.0) and t.measured_at < to_timestamp(%(until_ms)s / 1000.0);

-- name: ingest_dead_letters
select coalesce(sum(times), 0) from ingest.dead_letter;

-- name: ingest_chunk_interval
select time_interval
from timescaledb_information.dimensions
where hypertable_schema = 'telemetry' and hypertable_name = %(table)s;

-- name: ingest_create_hypertable
select create_hypertable(%(relation)s::regclass, by_range('measured_at', %(chunk)s::interval),
                         create_default_indexes => false);

-- name: ingest_table_bytes
-- Chunks with their indexes and what is stored out of line.
select hypertable_size(%(relation)s::regclass);

-- name: ingest_settings
select name, setting
from pg_settings
where name in ('server_version', 'fsync', 'full_page_writes', 'synchronous_commit', 'shared_buffers', 'max_wal_size',
               'wal_level', 'wal_compression', 'timescaledb.license');

-- name: ingest_extension
select extversion from pg_extension where extname = 'timescaledb';

-- name: peers_drop
drop table if exists peer_samples;

-- name: peers_table
-- No unique key: a peer that gets a message twice must be able to go on. Pathway writes the last two.
create table peer_samples (
    device text not null,
    ts bigint not null,
    outlet_c real,
    power_w real,
    flow_l_min real,
    "time" bigint,
    diff smallint
);

-- name: peers_hypertable
select create_hypertable('peer_samples', by_range('ts', 604800000::bigint));

-- name: peers_count
select count(*) from {table} where ts >= %(from_ms)s and ts < %(until_ms)s;

-- name: peers_count_distinct
select count(*) from (
    select distinct device, ts from {table} where ts >= %(from_ms)s and ts < %(until_ms)s
) as once;

-- name: peers_count_ours
select count(*) from {table}
where measured_at >= to_timestamp(%(from_ms)s / 1000.0) and measured_at < to_timestamp(%(until_ms)s / 1000.0);
