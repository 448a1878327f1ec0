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
