-- name: declines
-- Forecasts that saw a part decline, the first of each day: days are as fine as "failed after 9 days".
select distinct on (f.device_id, f.failure_mode, time_bucket('1 day', f.made_at))
       f.device_id, f.failure_mode, f.made_at, 1 - f.health_index, f.p_fail_30d
from gateway.device d
join anomaly.forecast f on f.device_id = d.id
where d.product_id = %(product_id)s and f.status = 'declining'
  and f.made_at > %(from_at)s and f.made_at <= %(through)s
order by f.device_id, f.failure_mode, time_bucket('1 day', f.made_at), f.made_at;

-- name: found_on
select device_id, failure_mode, component, verdict, found_at
from maintenance.finding
where device_id = any(%(device_ids)s) and found_at <= %(through)s
order by found_at;

-- name: reported_by
select device_id, failure_mode, at
from anomaly.detection
where device_id = any(%(device_ids)s) and kind = 'reported_fault' and change = 'raised' and at <= %(through)s
order by at;

-- name: watched_through
select device_id, scored_through from anomaly.scorer_state where device_id = any(%(device_ids)s);

-- name: precedents
select failure_mode, known_through, summary
from anomaly.precedent
where product_id = %(product_id)s
order by failure_mode, known_through;

-- name: precedents_mark
-- Cheap to ask before every turn: summaries are read again only when one was added.
select count(*), max(known_through) from anomaly.precedent where product_id = %(product_id)s;

-- name: add_precedent
insert into anomaly.precedent (product_id, failure_mode, known_through, summary, created_at)
values (%(product_id)s, %(failure_mode)s, %(through)s, %(summary)s, %(now)s)
on conflict do nothing;

-- name: fresh_declining_forecasts
-- What this very transaction has written of declining parts.
select id, failure_mode, made_at, (1 - health_index)::float8, p_fail_30d::float8, evidence
from anomaly.forecast
where device_id = any(%(device_ids)s) and created_at = %(now)s and made_at > %(from_at)s
  and failure_mode = any(%(modes)s) and status = 'declining'
order by id;

-- name: fresh_declining_detections
-- And that began to decline, with their health in that very window.
select x.id, x.failure_mode, x.at, (1 - h.health_index)::float8, null::float8, x.evidence
from anomaly.detection x
left join anomaly.health h on h.device_id = x.device_id and h.failure_mode = x.failure_mode and h.at = x.at
where x.device_id = any(%(device_ids)s) and x.created_at = %(now)s and x.at > %(from_at)s
  and x.failure_mode = any(%(modes)s) and x.kind = 'wear' and x.change = 'raised'
order by x.id;

-- name: keep_evidence_of_forecasts
update anomaly.forecast set evidence = %(evidence)s where id = %(id)s;

-- name: keep_evidence_of_detections
update anomaly.detection set evidence = %(evidence)s where id = %(id)s;
