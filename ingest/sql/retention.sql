-- name: is_community
-- The Apache edition refuses the columnstore; the licence that the server runs under says which it is.
select coalesce(current_setting('timescaledb.license', true), 'apache') = 'timescale';

-- name: retention_holds
-- What may not go yet, over all devices of a product. A device whose samples are all summed up, or
-- scored up to its last whole window, holds nothing back: it may have been silent for years.
select max(g.measured_through) as newest_at, min(g.first_measured_at) as first_at,
       min(case when r.device_id is null then g.first_measured_at
                when r.samples <> g.samples or r.rolled_through < g.measured_through
                then time_bucket('1 hour', r.rolled_through) end) as rolled_at,
       min(case when s.device_id is null then g.first_measured_at
                when g.measured_through - s.scored_through > 2 * %(window)s::interval
                then s.scored_through end) as scored_at,
       (select min(time_bucket('1 hour', m.from_at))
        from ingest.late_mark m
        join gateway.device e on e.id = m.device_id
        left join ingest.rollup x on x.device_id = m.device_id
        left join anomaly.rescored y on y.device_id = m.device_id
        where e.product_id = %(product_id)s
          and m.id > least(coalesce(x.mark_id, 0), coalesce(y.mark_id, 0))) as marked_at
from gateway.device d
join ingest.progress g on g.device_id = d.id
left join ingest.rollup r on r.device_id = d.id
left join anomaly.scorer_state s on s.device_id = d.id
where d.product_id = %(product_id)s;

-- name: windows_kept
-- The scorer lets windows and paths go: here they are only looked at, one index look-up a device.
select max(c.scored_through) as newest_at, min(oldest.at) as oldest_at
from gateway.device d
join anomaly.scorer_state c on c.device_id = d.id
left join lateral (
    select w.at from anomaly.window w where w.device_id = d.id order by w.at limit 1
) oldest on true
where d.product_id = %(product_id)s;

-- name: chunks
-- Sizes include indexes, TOAST and, on Community, the columnstore.
select c.range_start as begins_at, c.range_end as ends_at, s.total_bytes as bytes,
       format('%%I.%%I', c.chunk_schema, c.chunk_name) as name, c.is_compressed as is_columnar
from timescaledb_information.chunks c
join chunks_detailed_size(%(relation)s::regclass) s
    on s.chunk_schema = c.chunk_schema and s.chunk_name = c.chunk_name
where c.hypertable_schema = %(schema)s and c.hypertable_name = %(table)s
order by c.range_start;

-- name: count_rows
select count(*) from {relation} where {time} >= %(begins_at)s and {time} < %(ends_at)s;

-- name: note_dropped
-- First of all in its transaction: workers that sum up hold a lock which this one waits for.
insert into ingest.dropped (product_id, kind, gone_before, dropped_at)
values (%(product_id)s, %(kind)s, %(before)s, %(now)s)
on conflict (product_id, kind) do update
set gone_before = greatest(dropped.gone_before, excluded.gone_before), dropped_at = excluded.dropped_at;

-- name: drop_chunks
-- Whole chunks only, and only those that end before the instant; takes no time however many rows.
select drop_chunks(%(relation)s::regclass, older_than => %(before)s::timestamptz);

-- name: letters_to_go
-- Letters from devices that nobody knows stay as long as any product keeps its own.
select count(*) as rows, coalesce(sum(octet_length(payload)), 0) as bytes,
       min(received_at) as begins_at, max(received_at) as ends_at
from ingest.dead_letter l
left join gateway.device d on d.name = l.device_name
where l.received_at < %(before)s and d.product_id is not distinct from %(product_id)s;

-- name: delete_letters
-- In small transactions: nobody waits long for a lock.
delete from ingest.dead_letter where id in (
    select l.id from ingest.dead_letter l
    left join gateway.device d on d.name = l.device_name
    where l.received_at < %(before)s and d.product_id is not distinct from %(product_id)s
    order by l.id limit %(limit)s
    for update of l skip locked);

-- name: delete_marks
-- Late marks that both of their readers have dealt with, and those that a scorer has not asked for in
-- a month: it is not running, and its first run reads everything anyway.
delete from ingest.late_mark m
using ingest.rollup r
where r.device_id = m.device_id and m.id <= r.mark_id
  and (m.marked_at < %(old)s
       or exists (select from anomaly.rescored y where y.device_id = m.device_id and y.mark_id >= m.id));

-- name: see_streams
-- Streams that are new, or have gone on since they were last looked at.
insert into ingest.stream_seen as known (device_id, boot, seq_stored, seen_at)
select s.device_id, s.boot, s.seq_stored, %(now)s
from ingest.stream s
left join ingest.stream_seen n using (device_id, boot)
where n.seq_stored is distinct from s.seq_stored
on conflict (device_id, boot) do update set seq_stored = excluded.seq_stored, seen_at = excluded.seen_at;

-- name: old_streams
-- A boot that has not gone on for longer than the door takes history back, of a device that has gone on
-- with another one since: whatever that boot still held would be refused as too old. The newest stays.
select s.device_id, s.boot
from ingest.stream_seen s
join gateway.device d on d.id = s.device_id
where d.product_id = %(product_id)s and s.seen_at < %(before)s
  and exists (select from ingest.stream_seen n where n.device_id = s.device_id and n.seen_at > s.seen_at)
limit %(limit)s;

-- name: delete_streams
-- Only those that stand where they were seen: one that goes on in this very moment stays.
with gone as (
    delete from ingest.stream s
    using unnest(%(device_ids)s::bigint[], %(boots)s::bigint[]) as old (device_id, boot),
          ingest.stream_seen n
    where s.device_id = old.device_id and s.boot = old.boot
      and n.device_id = old.device_id and n.boot = old.boot and n.seq_stored = s.seq_stored
    returning s.device_id, s.boot
)
delete from ingest.stream_seen n using gone
where n.device_id = gone.device_id and n.boot = gone.boot;

-- name: columnstore_is_on
select exists (select from timescaledb_information.hypertables
               where hypertable_schema = %(schema)s and hypertable_name = %(table)s
                 and compression_enabled);

-- name: switch_columnstore_on
-- A device's samples lie together and in order, so that the values of a metric are neighbours.
alter table {relation} set (timescaledb.enable_columnstore = true,
                            timescaledb.segmentby = 'device_id', timescaledb.orderby = 'measured_at');

-- name: compress_chunk
select compress_chunk(%(chunk)s::regclass, if_not_compressed => true);

-- name: delete_shifted
delete from ingest.shifted where arrived_at < %(before)s;

-- name: delete_breaches
delete from ingest.breach where last_at < %(before)s;
