-- name: lives
-- When devices began, since when and until when they were watched, and what does not change about them.
select d.id, d.name, d.delivered_at, g.first_measured_at, g.measured_through, d.lot, d.firmware,
       coalesce(s.city, '')
from gateway.device d
join ingest.progress g on g.device_id = d.id
left join gateway.site s on s.id = d.site_id
where d.id = any(%(ids)s);

-- name: window_blocks
-- Windows as blocks of bytes, a row per device and layout: two years of one device are a few of them,
-- where rows would be tens of thousands.
select device_id, layout_id, string_agg(timestamptz_send(at), ''), string_agg(array_send(observed), ''),
       string_agg(array_send(health), '')
from anomaly.window
where device_id = any(%(ids)s) and at <= %(until)s
group by device_id, layout_id;

-- name: recent_window_blocks
-- The same of a device's early life, of the newest windows at an instant, and of those after it: what a forecast needs.
-- Each of the three is an own range of the primary key, so that what lies between is not touched.
select w.device_id, w.layout_id, string_agg(timestamptz_send(w.at), ''),
       string_agg(array_send(w.observed), ''), string_agg(array_send(w.health), '')
from unnest(%(ids)s::bigint[], %(early_until)s::timestamptz[], %(from)s::timestamptz[])
    as d (id, early_until, from_at)
cross join lateral (
    (select device_id, layout_id, at, observed, health
     from anomaly.window
     where device_id = d.id and at <= least(d.early_until, %(until)s))
    union all
    (select device_id, layout_id, at, observed, health
     from anomaly.window
     where device_id = d.id and at > d.early_until and at <= least(d.from_at, %(until)s)
     order by at desc
     limit %(windows)s)
    union all
    (select device_id, layout_id, at, observed, health
     from anomaly.window
     where device_id = d.id and at > greatest(d.early_until, d.from_at) and at <= %(until)s)
) w
group by w.device_id, w.layout_id;

-- name: worn_window_blocks
-- The same of windows before some instants that tell since when wear of a failure mode has been seen there without a break:
-- the newest without it and the one after it, or the first two if all show it. Going back over the wear alone is what it costs.
-- Two modes may have begun at once.
select w.device_id, w.layout_id, string_agg(timestamptz_send(w.at), ''),
       string_agg(array_send(w.observed), ''), string_agg(array_send(w.health), '')
from (
    select distinct x.device_id, x.at
    from unnest(%(ids)s::bigint[], %(modes)s::text[], %(before)s::timestamptz[],
                %(early_until)s::timestamptz[]) as d (id, mode, before_at, early_until)
    left join lateral (
        select n.at
        from anomaly.window n
        where n.device_id = d.id and n.at < d.before_at
          and (n.health[(select array_position(l.modes, d.mode) from anomaly.layout l where l.id = n.layout_id)]
               < %(shown_below)s::double precision) is not true
        order by n.at desc
        limit 1
    ) sound on true
    cross join lateral (
        select device_id, at
        from anomaly.window
        where device_id = d.id and at >= coalesce(sound.at, '-infinity')
        order by at
        limit 2
    ) x
    where x.at > d.early_until and x.at < d.before_at
) k
join anomaly.window w on w.device_id = k.device_id and w.at = k.at
group by w.device_id, w.layout_id;

-- name: reported_faults
select device_id, failure_mode, at
from anomaly.detection
where device_id = any(%(ids)s) and kind = 'reported_fault' and change = 'raised'
order by at;

-- name: codes
-- Every known value of a metric of codes but 0 is an event.
select device_id, measured_at, {metric}::bigint
from telemetry.{table}
where device_id = any(%(ids)s) and measured_at <= %(until)s and {metric} <> 0
order by measured_at;

-- name: recent_codes
-- The same after an instant of each device, and before it the last of each kind. An index on rows with a code
-- (gateway.store.index_codes) keeps it from going through all the samples of years.
select w.device_id, w.measured_at, w.code
from unnest(%(ids)s::bigint[], %(since)s::timestamptz[]) as d (id, since_at)
cross join lateral (
    (select device_id, measured_at, {metric}::bigint as code
     from telemetry.{table}
     where device_id = d.id and measured_at > d.since_at and measured_at <= %(until)s and {metric} <> 0)
    union all
    (select distinct on ({metric}::bigint) device_id, measured_at, {metric}::bigint
     from telemetry.{table}
     where device_id = d.id and measured_at <= d.since_at and {metric} <> 0
     order by {metric}::bigint, measured_at desc)
) w
order by w.measured_at;
