-- name: history_raw
select time_bucket(%(step)s, measured_at) as at, min({metric})::float8 as low, avg({metric})::float8 as mean,
       max({metric})::float8 as high, count({metric}) as values
from telemetry.{product}
where device_id = %(device_id)s and measured_at >= %(begin)s and measured_at < %(end)s
  and {metric} is not null
group by 1
order by 1
limit %(limit)s;

-- name: history_rolled
-- Rollups up to where they are complete, and the samples behind that: so it never lags.
select time_bucket(%(step)s, at) as at, min(low)::float8 as low,
       (sum(mean * number) / sum(number))::float8 as mean, max(high)::float8 as high,
       sum(number)::bigint as values
from (
    select starts_at as at, {low}::float8 as low, {mean}::float8 as mean, {high}::float8 as high,
           {count}::bigint as number
    from {rollup}
    where device_id = %(device_id)s and starts_at >= %(begin)s and starts_at < least(%(end)s, %(rolled_at)s)
      and {count} > 0
    union all
    select measured_at, {metric}, {metric}, {metric}, 1
    from telemetry.{product}
    where device_id = %(device_id)s and measured_at >= greatest(%(begin)s, %(rolled_at)s)
      and measured_at < %(end)s and {metric} is not null
) as part
group by 1
order by 1
limit %(limit)s;

-- name: rolled_through
select r.rolled_through, d.product_id
from gateway.device d
left join ingest.rollup r on r.device_id = d.id
where d.id = %(device_id)s;
