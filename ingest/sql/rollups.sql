-- name: rolled_products
select p.id, p.revision, p.sheet from gateway.product p order by p.id;

-- name: lock_shapes
-- Two workers that start at once make no table twice.
select pg_advisory_xact_lock(7305412012);

-- name: rollup_exists
select to_regclass(%(relation)s) is not null;

-- name: make_rollup_hypertable
-- No index on time alone: every reader asks for a device, which the primary key answers.
select create_hypertable(%(relation)s::regclass, by_range('starts_at', %(chunk)s::interval),
                         create_default_indexes => false, if_not_exists => true);

-- name: hold_dropped
-- Before the transaction's first look at anything, so that its snapshot is younger than every drop:
-- retention takes a lock that this one excludes.
lock table ingest.dropped in share mode;

-- name: gone_before
select kind, gone_before from ingest.dropped where product_id = %(product_id)s;

-- name: due_rollups
-- A device is due when an hour of it is complete, and at the latest some minutes after it has sent
-- something. Those furthest behind come first.
select g.device_id
from ingest.progress g
join gateway.device d on d.id = g.device_id
left join ingest.rollup r on r.device_id = g.device_id
where d.product_id = %(product_id)s
  and g.measured_through >= g.first_measured_at
  and (r.device_id is null
       or g.measured_through >= time_bucket('1 hour', r.rolled_through) + interval '1 hour'
       or (r.samples <> g.samples and r.rolled_at <= %(refreshed_before)s))
order by r.rolled_through nulls first
limit %(limit)s;

-- name: begin_rollups
-- The row that a worker locks. A new device begins with its oldest sample, so its earlier marks are
-- dealt with by that.
insert into ingest.rollup (device_id, rolled_through, samples, rolled_at, mark_id)
select g.device_id, g.first_measured_at, -1, %(now)s,
       coalesce((select max(m.id) from ingest.late_mark m where m.device_id = g.device_id), 0)
from ingest.progress g
where g.device_id = any(%(device_ids)s)
order by 1
on conflict do nothing;

-- name: claim_rollups
-- One worker at a time has a device; the lock ends with the transaction that writes its rollups.
select r.device_id, r.rolled_through, g.measured_through, g.samples
from ingest.rollup r
join ingest.progress g on g.device_id = r.device_id
where r.device_id = any(%(device_ids)s)
order by r.device_id
for update of r skip locked;

-- name: roll_hours
-- Computed anew from the samples, never added to: however often it is done, the outcome is the same.
-- The bounds over all spans let the planner leave chunks aside.
insert into {hours} as kept (device_id, starts_at, samples, {targets})
select t.device_id, time_bucket('1 hour', t.measured_at), count(*), {aggregates}
from unnest(%(device_ids)s::bigint[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
     as touched (device_id, begins_at, ends_at)
join {samples} t on t.device_id = touched.device_id
    and t.measured_at >= touched.begins_at and t.measured_at < touched.ends_at
where t.measured_at >= %(first)s and t.measured_at < %(last)s
group by 1, 2
on conflict (device_id, starts_at) do update set samples = excluded.samples, {updates}
where kept.* is distinct from excluded.*;

-- name: add_hours
-- For hours whose samples retention has dropped: what was summed up from all of them stays.
insert into {hours} (device_id, starts_at, samples, {targets})
select t.device_id, time_bucket('1 hour', t.measured_at), count(*), {aggregates}
from unnest(%(device_ids)s::bigint[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
     as touched (device_id, begins_at, ends_at)
join {samples} t on t.device_id = touched.device_id
    and t.measured_at >= touched.begins_at and t.measured_at < touched.ends_at
where t.measured_at >= %(first)s and t.measured_at < %(last)s
group by 1, 2
on conflict do nothing;

-- name: roll_days
-- From the hours of the day, which are 24 rows instead of thousands.
insert into {days} as kept (device_id, starts_at, samples, {targets})
select h.device_id, time_bucket('1 day', h.starts_at), sum(h.samples), {aggregates}
from unnest(%(device_ids)s::bigint[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
     as touched (device_id, begins_at, ends_at)
join {hours} h on h.device_id = touched.device_id
    and h.starts_at >= touched.begins_at and h.starts_at < touched.ends_at
where h.starts_at >= %(first)s and h.starts_at < %(last)s
group by 1, 2
on conflict (device_id, starts_at) do update set samples = excluded.samples, {updates}
where kept.* is distinct from excluded.*;

-- name: save_rollups
update ingest.rollup r
set rolled_through = done.rolled_through, samples = done.samples, rolled_at = %(now)s
from unnest(%(device_ids)s::bigint[], %(throughs)s::timestamptz[], %(samples)s::bigint[])
     as done (device_id, rolled_through, samples)
where r.device_id = done.device_id;

-- name: add_late_marks
-- After the devices' rows in ingest.progress were written, whose locks make the marks of one device
-- appear in the order of their ids: a reader may remember the newest id that it has dealt with.
insert into ingest.late_mark (device_id, from_at, through_at, marked_at)
select device_id, timestamptz 'epoch' + from_ms * interval '1 millisecond',
       timestamptz 'epoch' + through_ms * interval '1 millisecond', %(now)s
from unnest(%(device_ids)s::bigint[], %(froms_ms)s::bigint[], %(throughs_ms)s::bigint[])
     as late (device_id, from_ms, through_ms);

-- name: marked_rollups
-- Devices with marks that were not dealt with. There are few marks: retention removes the old ones.
select distinct m.device_id
from ingest.late_mark m
join ingest.rollup r on r.device_id = m.device_id
join gateway.device d on d.id = m.device_id
where d.product_id = %(product_id)s and m.id > r.mark_id
limit %(limit)s;

-- name: late_marks
-- The oldest first, so that a limit leaves out newer ones only.
select m.id, m.device_id, m.from_at, m.through_at
from ingest.late_mark m
join ingest.rollup r on r.device_id = m.device_id
where m.device_id = any(%(device_ids)s) and m.id > r.mark_id
order by m.id
limit %(limit)s;

-- name: save_marks
update ingest.rollup r set mark_id = done.mark_id
from unnest(%(device_ids)s::bigint[], %(mark_ids)s::bigint[]) as done (device_id, mark_id)
where r.device_id = done.device_id;

-- name: roll_again_since
-- For samples that came into the table by another way than ingest, such as a restored backup.
update ingest.rollup r
set rolled_through = least(r.rolled_through, %(since)s), samples = -1,
    rolled_at = '-infinity'
from gateway.device d
where d.id = r.device_id and d.product_id = %(product_id)s;
