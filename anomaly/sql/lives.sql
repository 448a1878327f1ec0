-- name: life_corrections
-- Those in force from an instant on: the newest before it, and all later ones. Without an instant all of them.
select from_at, failures, scores
from anomaly.life_correction
where product_id = %(product_id)s
  and from_at >= coalesce(
      (select max(from_at) from anomaly.life_correction
       where product_id = %(product_id)s and from_at < %(since)s::timestamptz),
      '-infinity')
order by from_at;

-- name: newest_life_correction
select max(from_at) from anomaly.life_correction where product_id = %(product_id)s;

-- name: add_life_correction
-- Two workers may learn the same at the same time.
insert into anomaly.life_correction (product_id, from_at, failures, scores, created_at)
values (%(product_id)s, %(from_at)s, %(failures)s, %(scores)s, %(now)s)
on conflict do nothing;

-- name: failures_reported
-- The newest failures that devices reported themselves: when a part fails is known of no others.
select d.device_id, d.failure_mode, d.at
from anomaly.detection d
join gateway.device g on g.id = d.device_id
where g.product_id = %(product_id)s and d.kind = 'reported_fault' and d.change = 'raised'
  and d.at <= %(until)s
order by d.at desc, d.device_id, d.failure_mode
limit %(limit)s;

-- name: lives_said
-- What the laws of wear had said before some failures, before it was corrected.
select w.number, f.made_at, f.life_said, f.health_index::float8
from unnest(%(numbers)s::int[], %(ids)s::bigint[], %(modes)s::text[], %(since)s::timestamptz[],
            %(until)s::timestamptz[]) as w (number, device_id, mode, since, until)
join anomaly.forecast f on f.device_id = w.device_id and f.failure_mode = w.mode
    and f.made_at > w.since and f.made_at < w.until
where f.status = 'declining' and f.life_said is not null
order by w.number, f.made_at;
