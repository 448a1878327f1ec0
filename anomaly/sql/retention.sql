-- name: old_chunks
-- Chunks that end before an instant, the oldest first.
select range_start, range_end
from timescaledb_information.chunks
where hypertable_schema = 'anomaly' and hypertable_name = %(table)s and range_end <= %(before)s
order by range_start;

-- name: window_keepers
-- The other products that may have rows of their own in old chunks, and how far each has been scored.
select p.id, p.sheet, max(c.scored_through)
from gateway.product p
join gateway.device d on d.product_id = p.id
join anomaly.scorer_state c on c.device_id = d.id
where p.id <> %(product_id)s
group by p.id;

-- name: has_window
select exists (select from anomaly.window w join gateway.device d on d.id = w.device_id
               where d.product_id = %(product_id)s and w.at >= %(begins_at)s and w.at < %(ends_at)s);

-- name: has_path
select exists (select from anomaly.path w join gateway.device d on d.id = w.device_id
               where d.product_id = %(product_id)s and w.at >= %(begins_at)s and w.at < %(ends_at)s);

-- name: drop_chunk
-- Just this one: no other lies within its bounds.
select drop_chunks(%(relation)s::regclass, older_than => %(ends_at)s::timestamptz,
                   newer_than => %(begins_at)s::timestamptz);
