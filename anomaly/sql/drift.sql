-- name: drift_devices
-- Devices whose learning time was over before what counts as late began, and that have been scored since.
select d.id, g.first_measured_at
from gateway.device d
join ingest.progress g on g.device_id = d.id
join anomaly.scorer_state c on c.device_id = d.id
where d.product_id = %(product_id)s and d.retired_at is null
  and g.first_measured_at + %(learning)s <= %(recent_from)s and c.scored_through > %(recent_from)s
order by d.id;

-- name: drift_windows
-- Of the learning time and of late; every so many of them where windows are short.
select w.device_id, s.is_recent, w.layout_id, w.observed, w.expected
from unnest(%(ids)s::bigint[], %(first)s::timestamptz[]) as r (device_id, first_at)
cross join lateral (values
    (false, r.first_at, r.first_at + %(learning)s::interval),
    (true, %(recent_from)s::timestamptz, %(through)s::timestamptz)
) as s (is_recent, from_at, until_at)
join anomaly.window w on w.device_id = r.device_id and w.at > s.from_at and w.at <= s.until_at
where (extract(epoch from w.at) * 1000000)::bigint / %(window_us)s::bigint %% %(every)s::bigint = 0;

-- name: drift_states
select kind, name, state from anomaly.drift where product_id = %(product_id)s;

-- name: first_forecast
select min(f.made_at)
from gateway.device d
cross join lateral (
    select made_at from anomaly.forecast x
    where x.device_id = d.id and x.p_fail_30d is not null
    order by made_at limit 1
) f
where d.product_id = %(product_id)s;

-- name: claims_of_block
-- The first forecast of each device and failure mode in a block, and whether the failure came within the
-- horizon: reported, or found by a technician. Where the part was replaced for another reason, or the
-- device was not watched to the end, nobody can say, and the forecast is left out.
select c.failure_mode, coalesce(c.model_id, 0), c.p_fail_30d::float8, failed.at is not null
from gateway.device d
cross join lateral (
    select distinct on (f.failure_mode) f.failure_mode, f.model_id, f.p_fail_30d, f.made_at,
        f.made_at + %(horizon)s::interval as ends_at
    from anomaly.forecast f
    where f.device_id = d.id and f.made_at >= %(from_at)s and f.made_at < %(until)s
      and f.status in ('ok', 'declining') and f.p_fail_30d is not null
    order by f.failure_mode, f.made_at
) c
cross join lateral (
    select min(x.at) as at from anomaly.failure x
    where x.device_id = d.id and x.failure_mode = c.failure_mode and x.at > c.made_at and x.at <= c.ends_at
) failed
cross join lateral (
    select min(y.found_at) as at from maintenance.finding y
    where y.device_id = d.id and y.found_at > c.made_at and y.found_at <= c.ends_at
        and y.verdict in ('confirmed', 'incipient', 'other_fault')
        and y.component = (select mode ->> 'component' from gateway.product p,
            jsonb_array_elements(p.sheet -> 'failure_modes') as m (mode)
            where p.id = d.product_id and mode ->> 'name' = c.failure_mode)
) replaced
left join anomaly.scorer_state s on s.device_id = d.id
where d.product_id = %(product_id)s
  and (failed.at is not null or (replaced.at is null and s.scored_through >= c.ends_at));

-- name: calibration_blocks
select failure_mode, speaker, block_at, forecasts, expected, observed, log_ratios
from anomaly.calibration_block
where product_id = %(product_id)s
order by failure_mode, speaker, block_at;

-- name: add_calibration_block
insert into anomaly.calibration_block
    (product_id, failure_mode, speaker, block_at, forecasts, expected, observed, log_ratios, created_at)
values (%(product_id)s, %(failure_mode)s, %(speaker)s, %(at)s, %(forecasts)s, %(expected)s, %(observed)s,
    %(log_ratios)s, %(now)s)
on conflict do nothing;

-- name: keep_drift
insert into anomaly.drift
    (product_id, kind, name, state, since, figure, figures, sentences, looked_through, updated_at)
values (%(product_id)s, %(kind)s, %(name)s, %(state)s, %(through)s, %(figure)s, %(figures)s, %(sentences)s,
    %(through)s, %(now)s)
on conflict (product_id, kind, name) do update
set state = excluded.state, figure = excluded.figure, figures = excluded.figures,
    since = case when drift.state = excluded.state then drift.since else excluded.since end,
    sentences = excluded.sentences, looked_through = excluded.looked_through, updated_at = excluded.updated_at;

-- name: drifts
-- For `forecare anomaly drift`: what has drifted first.
select p.name, x.kind, x.name, x.state, x.since, x.figure, x.figures, x.sentences
from anomaly.drift x join gateway.product p on p.id = x.product_id
where (%(product)s::text is null or p.name = %(product)s) and (%(with_steady)s or x.state = 'drifted')
order by p.name, array_position(array['drifted', 'steady', 'unclear'], x.state), x.kind, x.name;
