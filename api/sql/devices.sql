-- name: devices
-- Narrowed to what the person may see: an owner's own, a technician's own work orders' devices.
select d.id, d.name, d.product, d.product_title, d.serial, d.lot, d.firmware, d.owner, d.owner_phone, d.site,
    d.address, d.city, d.timezone, d.access_note, d.delivered_at, d.warranty_until, d.is_connected,
    coalesce(d.fresh_until > %(now)s, false) as is_reporting, d.first_measured_at, d.measured_through,
    d.received_at, d.samples, d.event_now,
    case when n.level = 'none' and n.is_new and d.fresh_until > %(now)s then 'learning'
        else coalesce(n.level, 'none') end as level,
    case when n.is_learning then least(n.needed_days,
        floor(extract(epoch from d.measured_through - d.first_measured_at) / 86400))::integer end
        as learning_watched_days,
    case when n.is_learning then n.needed_days end as learning_needed_days,
    case when %(owner_id)s::bigint is not null then h.since end as owned_since
from api.device_now d
left join lateral (
    select bool_and(x.status is null) as is_new,
        d.measured_through is not null and (bool_or(x.status = 'learning') or bool_and(x.status is null))
            as is_learning,
        (array_agg(x.level order by array_position(array['act', 'plan', 'watch', 'learning', 'ok', 'none'],
            x.level)))[1] as level,
        greatest(1, round(extract(epoch from (d.sheet ->> 'learning')::interval) / 86400))::integer
            as needed_days
    from (select part.status, case when part.level = 'none' and part.status = 'learning' then 'learning'
        else part.level end as level from api.part where part.device_id = d.id) x
) n on true
left join api.handed_over h on h.device_id = d.id
where (%(name)s::text is null or d.name = %(name)s)
    and (%(product)s::text is null or d.product = %(product)s)
    and (%(q)s::text is null or concat_ws(' ', d.name, d.serial, d.owner, d.city, d.lot, d.firmware)
        ilike %(q)s)
    and (%(owner_id)s::bigint is null or d.owner_id = %(owner_id)s)
    and (%(technician_id)s::bigint is null or exists (
        select from maintenance.work_order w join maintenance.appointment b on b.work_order_id = w.id
        where w.device_id = d.id and b.technician_id = %(technician_id)s and b.state <> 'cancelled'))
    and (%(after)s::text is null or d.name > %(after)s)
order by d.name
limit %(limit)s;

-- name: device_sheet
select p.sheet from gateway.device d join gateway.product p on p.id = d.product_id where d.id = %(device_id)s;

-- name: parts
select * from api.part where device_id = any(%(device_ids)s)
order by device_id, array_position(array['act', 'plan', 'watch', 'none', 'ok'], level), position;

-- name: detections
select id, kind, failure_mode, change, at, score, evidence
from anomaly.detection
where device_id = %(device_id)s and (%(before)s::timestamptz is null or at < %(before)s)
order by at desc, id desc
limit %(limit)s;

-- name: forecasts
select id, failure_mode, made_at, status, health_index, p_fail_1d, p_fail_7d, p_fail_30d, life_hours_q05,
    life_hours_q10, life_hours_q50, life_hours_q90, life_hours_q95, evidence
from anomaly.forecast
where device_id = %(device_id)s and (%(failure_mode)s::text is null or failure_mode = %(failure_mode)s)
    and (%(before)s::timestamptz is null or made_at < %(before)s)
order by made_at desc, failure_mode
limit %(limit)s;

-- name: samples
-- Lowest and highest value per bucket, never a mean: peaks must survive. A bucket without a value
-- gives no row, so that a gap stays a gap. Table and column come from the product's sheet alone.
select time_bucket(%(bucket)s, measured_at) as at, min({metric})::float8 as low, max({metric})::float8 as high
from telemetry.{product}
where device_id = %(device_id)s and measured_at >= %(from)s and measured_at < %(to)s and {metric} is not null
group by 1
order by 1
limit %(limit)s;

-- name: newest_sample
-- The newest value of every metric, as a row of JSON.
select measured_at, to_jsonb(t) as values from telemetry.{product} t
where device_id = %(device_id)s
order by measured_at desc
limit 1;

-- name: expectation
-- What was measured and what is normal, per evidence metric. Peaks survive the thinning: each bucket
-- keeps its lowest and its highest value, and what was normal in their own windows: beside the bucket's
-- mean every metric that follows its conditions would seem abnormal.
select time_bucket(%(bucket)s, at) as at, min(observed)::float8 as low, max(observed)::float8 as high,
    avg(expected)::float8 as expected, avg(spread)::float8 as spread, max(score)::float8 as score,
    first(expected, observed)::float8 as low_expected, first(spread, observed)::float8 as low_spread,
    last(expected, observed)::float8 as high_expected, last(spread, observed)::float8 as high_spread
from anomaly.expectation
where device_id = %(device_id)s and metric = %(metric)s and at >= %(from)s and at <= %(to)s
group by 1
order by 1
limit %(limit)s;

-- name: health_sparks
-- A month of health per part, one value a day.
select h.device_id, h.failure_mode, time_bucket('1 day', h.at) as day, min(h.health_index)::float8 as health
from unnest(%(device_ids)s::bigint[], %(failure_modes)s::text[], %(until)s::timestamptz[])
    as wanted (device_id, failure_mode, until)
join anomaly.health h on h.device_id = wanted.device_id and h.failure_mode = wanted.failure_mode
    and h.at > wanted.until - interval '30 days' and h.at <= wanted.until
group by 1, 2, 3
order by 1, 2, 3;
