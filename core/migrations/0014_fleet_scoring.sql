-- Scores of many devices at once: one row per device and window, states of fixed width.

-- What the places of the arrays of anomaly.window, anomaly.path and of a packed state stand for. A sheet
-- that changes gets a row of its own, so that rows which were written before keep their meaning.
create table anomaly.layout (
    id bigint generated always as identity primary key,
    product_id bigint not null,
    measured text[] not null,      -- metrics of which every window keeps the mean
    watched text[] not null,       -- metrics that are evidence of some failure mode
    conditions text[] not null,    -- metrics that explain them
    modes text[] not null,         -- failure modes
    unique (product_id, measured, watched, conditions, modes)
);

-- One window of one device: what was measured, what is normal, how strange it is, how healthy its parts
-- are. NaN where nothing is known. The learned layer reads `observed`; anomaly.expectation and
-- anomaly.health show the rest with a row per metric and per failure mode.
create table anomaly.window (
    device_id bigint not null,
    at timestamptz not null,               -- end of the window, event time
    layout_id bigint not null,
    observed real[] not null,              -- mean per measured metric
    expected real[] not null,              -- per watched metric
    spread real[] not null,                -- one standard deviation of a healthy device
    score real[] not null,                 -- >= 0, higher is stranger, in spreads, smoothed
    health real[] not null,                -- index per failure mode; NaN while learning or reported failed
    wear_score real[] not null,            -- largest score among its metrics
    primary key (device_id, at)
);
select create_hypertable('anomaly.window', by_range('at', interval '14 days'), create_default_indexes => false);

-- The way of each failure mode's degradation from forecast to forecast, before it is sure that it is it.
-- Read only for devices in which a mode is raised; the newest 240 values count.
create table anomaly.path (
    device_id bigint not null,
    at timestamptz not null,               -- instant of a forecast, event time
    layout_id bigint not null,
    sizes double precision[] not null,     -- per failure mode, NaN where nothing was known
    primary key (device_id, at)
);
select create_hypertable('anomaly.path', by_range('at', interval '60 days'), create_default_indexes => false);

-- Devices that are scored against a baseline keep all numbers in `numbers`, a record of fixed width that
-- `layout_id` explains; `state` then holds the few things without one (bad sensors, findings). The others
-- (learning, or following themselves) are in `state` whole.
alter table anomaly.scorer_state
    add column layout_id bigint,
    add column numbers bytea,
    alter column state set default '{}',
    alter column numbers set storage external;
alter table anomaly.scorer_state set (fillfactor = 60);

-- What was scored before moves over. Every window has a row per watched metric.
insert into anomaly.layout (product_id, measured, watched, conditions, modes)
select d.product_id, array_agg(distinct e.metric), array_agg(distinct e.metric), '{}',
       coalesce((select array_agg(distinct h.failure_mode) from anomaly.health h
                 join gateway.device x on x.id = h.device_id where x.product_id = d.product_id), '{}')
from anomaly.expectation e join gateway.device d on d.id = e.device_id
group by d.product_id;

insert into anomaly.window
select e.device_id, e.at, l.id,
       array_agg(coalesce(e.observed, 'NaN') order by e.place), array_agg(coalesce(e.expected, 'NaN') order by e.place),
       array_agg(coalesce(e.spread, 'NaN') order by e.place), array_agg(coalesce(e.score, 'NaN') order by e.place),
       (select coalesce(array_agg(coalesce(h.health_index, 'NaN') order by m.place), '{}')
        from unnest(l.modes) with ordinality m (name, place)
        left join anomaly.health h on h.device_id = e.device_id and h.at = e.at and h.failure_mode = m.name),
       (select coalesce(array_agg(coalesce(h.score, 'NaN') order by m.place), '{}')
        from unnest(l.modes) with ordinality m (name, place)
        left join anomaly.health h on h.device_id = e.device_id and h.at = e.at and h.failure_mode = m.name)
from (select x.*, array_position(l.watched, x.metric) as place, l.id as layout_id
      from anomaly.expectation x
      join gateway.device d on d.id = x.device_id
      join anomaly.layout l on l.product_id = d.product_id) e
join anomaly.layout l on l.id = e.layout_id
group by e.device_id, e.at, l.id
having count(*) = cardinality(l.watched);

drop table anomaly.expectation;
drop table anomaly.health;

-- Observed and expected value per window and evidence metric: the chart's line and its normal band.
create view anomaly.expectation as
select w.device_id, m.metric, w.at, nullif(w.observed[array_position(l.measured, m.metric)], 'NaN') as observed,
       nullif(w.expected[m.place], 'NaN') as expected, nullif(w.spread[m.place], 'NaN') as spread,
       nullif(w.score[m.place], 'NaN') as score
from anomaly.window w
join anomaly.layout l on l.id = w.layout_id
cross join lateral unnest(l.watched) with ordinality m (metric, place);

-- The health of each part per window.
create view anomaly.health as
select w.device_id, m.failure_mode, w.at, w.wear_score[m.place] as score, w.health[m.place] as health_index
from anomaly.window w
join anomaly.layout l on l.id = w.layout_id
cross join lateral unnest(l.modes) with ordinality m (failure_mode, place)
where w.health[m.place] <> 'NaN';
