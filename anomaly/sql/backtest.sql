-- name: backtest_devices
-- Whose history is replayed: when each began and was watched, what does not change about it, and the
-- baseline it is scored by. A device that measured before it was delivered is as old as its data.
select d.id, d.name, least(d.delivered_at, g.first_measured_at), g.first_measured_at,
       g.measured_through, c.baseline_id, d.lot, d.firmware, coalesce(s.city, '')
from gateway.device d
join ingest.progress g on g.device_id = d.id
left join anomaly.scorer_state c on c.device_id = d.id
left join gateway.site s on s.id = d.site_id
where d.product_id = %(product_id)s and g.first_measured_at < %(until)s
order by d.id;

-- name: backtest_baselines
-- All of them, oldest first: each device is measured against the one that it began with.
select id, parameters, learned_through from anomaly.baseline
where product_id = %(product_id)s
order by revision;

-- name: backtest_gone_before
-- Samples that were let go cannot be replayed.
select gone_before from ingest.dropped where product_id = %(product_id)s and kind = 'raw';
