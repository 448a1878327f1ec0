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
