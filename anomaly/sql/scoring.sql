-- name: products
-- Products with their devices' progress in one look, so that an idle turn costs one query.
select p.id, p.name, p.sheet, p.revision,
       min(g.first_measured_at) as first_at,
       max(g.measured_through) as newest_at
from gateway.product p
join gateway.device d on d.product_id = p.id
join ingest.progress g on g.device_id = d.id
group by p.id
order by p.id;

-- name: due_devices
-- Devices whose stream goes on beyond what was scored, those furthest behind first.
select d.id, g.first_measured_at, g.measured_through, s.scored_through
from gateway.device d
join ingest.progress g on g.device_id = d.id
left join anomaly.scorer_state s on s.device_id = d.id
where d.product_id = %(product_id)s
  and (s.device_id is null or g.measured_through > s.scored_through)
order by g.measured_through - coalesce(s.scored_through, g.first_measured_at) desc
limit %(limit)s;

-- name: fleet_progress
-- Every device of a product, for the product's watermark.
select d.id, g.first_measured_at, g.measured_through
from gateway.device d
join ingest.progress g on g.device_id = d.id
where d.product_id = %(product_id)s
order by d.id;

-- name: one_core
-- Until the transaction ends. The machine's other cores belong to other stages and other scorers.
set local max_parallel_workers_per_gather = 0;

-- name: find_layout
select id from anomaly.layout
where product_id = %(product_id)s and measured = %(measured)s::text[] and watched = %(watched)s::text[]
  and conditions = %(conditions)s::text[] and modes = %(modes)s::text[];

-- name: add_layout
-- Another scorer may have been first; everybody reads it back.
insert into anomaly.layout (product_id, measured, watched, conditions, modes)
values (%(product_id)s, %(measured)s, %(watched)s, %(conditions)s, %(modes)s)
on conflict do nothing;

-- name: layouts
select id, measured, watched, conditions, modes from anomaly.layout where id = any(%(ids)s);

-- name: make_state
-- The row that a scorer locks; another one may have been first.
insert into anomaly.scorer_state (device_id, baseline_id, scored_through, forecast_through, state)
values (%(device_id)s, null, %(scored_through)s, null, %(state)s)
on conflict do nothing;

-- name: add_states
insert into anomaly.scorer_state (device_id, scored_through)
select * from unnest(%(ids)s::bigint[], %(through)s::timestamptz[]);

-- name: claim_states
-- One scorer at a time has a device; the locks end with the transaction that writes the scores. In one
-- order for everybody, though nobody ever waits.
select device_id, baseline_id, layout_id, numbers, nullif(state, '{}')
from anomaly.scorer_state
where device_id = any(%(ids)s)
order by device_id
for update skip locked;

-- name: keep_state
update anomaly.scorer_state
set baseline_id = %(baseline_id)s, scored_through = %(scored_through)s,
    forecast_through = %(forecast_through)s, layout_id = %(layout_id)s, numbers = %(numbers)s,
    state = %(state)s
where device_id = %(device_id)s;

-- name: keep_states
-- The records of all devices come end to end in one value: no parameter per device is made or parsed.
update anomaly.scorer_state as s
set baseline_id = %(baseline_id)s, layout_id = %(layout_id)s,
    scored_through = timestamptz 'epoch' + n.scored_us * interval '1 microsecond',
    forecast_through = timestamptz 'epoch' + n.forecast_us * interval '1 microsecond',
    numbers = substring(%(numbers)s::bytea from ((n.place - 1) * %(width)s + 1)::integer for %(width)s::integer),
    state = coalesce(r.state::jsonb, '{}')
from unnest(%(ids)s::bigint[], %(scored_us)s::bigint[], %(forecast_us)s::bigint[])
    with ordinality as n (device_id, scored_us, forecast_us, place)
left join unnest(%(rest_places)s::bigint[], %(rests)s::text[]) as r (place, state) on r.place = n.place
where s.device_id = n.device_id;

-- name: paths
-- The newest values of some paths. Microseconds are exact: extract gives a numeric.
select w.device_id, w.mode, (extract(epoch from p.at) * 1000000)::bigint, p.size
from unnest(%(ids)s::bigint[], %(modes)s::text[], %(from_us)s::bigint[]) as w (device_id, mode, from_us)
cross join lateral (
    select x.at, x.sizes[array_position(l.modes, w.mode)] as size
    from anomaly.path x
    join anomaly.layout l on l.id = x.layout_id
    where x.device_id = w.device_id
      and x.at >= timestamptz 'epoch' + w.from_us * interval '1 microsecond'
      and x.sizes[array_position(l.modes, w.mode)] <> 'NaN'
    order by x.at desc
    limit %(limit)s
) p
order by w.device_id, w.mode, p.at;

-- name: forget_windows
-- A device without a state starts anew, so nothing of an earlier start may stay.
delete from anomaly.window where device_id = any(%(ids)s);

-- name: forget_path
delete from anomaly.path where device_id = any(%(ids)s);

-- name: forget_detections
delete from anomaly.detection where device_id = any(%(ids)s);

-- name: forget_forecasts
delete from anomaly.forecast where device_id = any(%(ids)s);

-- name: marked_devices
-- Devices that have a state and marks that were not dealt with. A device without a state reads its
-- whole history anyway. Not more often than once in a while each: a rescoring reads it all.
select d.id, g.first_measured_at, g.measured_through, m.mark_id, m.from_at, x.gone_before
from gateway.device d
join ingest.progress g on g.device_id = d.id
join anomaly.scorer_state s on s.device_id = d.id
left join anomaly.rescored r on r.device_id = d.id
left join ingest.dropped x on x.product_id = d.product_id and x.kind = 'raw'
cross join lateral (
    select max(id) as mark_id, min(from_at) as from_at
    from ingest.late_mark where device_id = d.id and id > coalesce(r.mark_id, 0)
) m
where d.product_id = %(product_id)s
  and exists (select from ingest.late_mark l where l.device_id = d.id and l.id > coalesce(r.mark_id, 0))
  and (r.rescored_at is null or r.rescored_at < %(rescored_before)s)
order by m.mark_id
limit %(limit)s;

-- name: keep_rescored
insert into anomaly.rescored (device_id, mark_id, from_at, rescored_at)
values (%(device_id)s, %(mark_id)s, %(from_at)s, %(now)s)
on conflict (device_id) do update
set mark_id = greatest(rescored.mark_id, excluded.mark_id), from_at = excluded.from_at,
    rescored_at = excluded.rescored_at;

-- name: forget_windows_from
delete from anomaly.window where device_id = %(device_id)s and at >= %(from_at)s;

-- name: findings
-- What technicians found, oldest first: where a baseline starts anew.
select f.device_id, f.id, f.failure_mode, f.component, f.verdict, f.found_at
from maintenance.finding f
where f.device_id = any(%(ids)s)
order by f.found_at, f.id;

-- name: add_label
insert into anomaly.label
    (finding_id, device_id, failure_mode, component, verdict, found_at, created_at)
values (%(finding_id)s, %(device_id)s, %(failure_mode)s, %(component)s, %(verdict)s, %(found_at)s,
        %(now)s)
on conflict (finding_id) do nothing;

-- name: baseline_newest
select id, parameters from anomaly.baseline
where product_id = %(product_id)s order by revision desc limit 1;

-- name: baseline_by_id
select id, parameters from anomaly.baseline where id = %(baseline_id)s;

-- name: baseline_conditions
-- What the ranges of a baseline belong to that was kept before it had their names: the first layout with its metrics.
select l.conditions
from anomaly.baseline b
join anomaly.layout l on l.product_id = b.product_id and l.watched = %(watched)s::text[]
where b.id = %(baseline_id)s
order by l.id
limit 1;

-- name: add_baseline
-- The first one to learn a revision wins; everybody reads it back.
insert into anomaly.baseline
    (product_id, revision, learned_from, learned_through, parameters, quality, code_version, created_at)
select %(product_id)s,
       coalesce((select max(revision) from anomaly.baseline where product_id = %(product_id)s), 0) + 1,
       %(learned_from)s, %(learned_through)s, %(parameters)s, %(quality)s, %(code_version)s, %(now)s
on conflict do nothing;

-- name: status
-- One line per product for `forecare anomaly status`.
select p.name,
       count(d.id) as devices,
       count(s.device_id) as scored,
       count(*) filter (where s.state->>'phase' = 'learning') as learning,
       max(g.measured_through) as newest_at,
       max(g.measured_through - s.scored_through) as behind,
       (select max(b.revision) from anomaly.baseline b where b.product_id = p.id) as baseline,
       (select count(*) from anomaly.detection x join gateway.device y on y.id = x.device_id
        where y.product_id = p.id and x.change = 'raised' and x.kind <> 'sensor') as detections
from gateway.product p
left join gateway.device d on d.product_id = p.id
left join ingest.progress g on g.device_id = d.id
left join anomaly.scorer_state s on s.device_id = d.id
group by p.id
order by p.name;
