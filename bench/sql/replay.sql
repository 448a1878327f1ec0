-- name: replay_stored
-- Rows of the recording that are in the table, counted from the rows themselves.
select d.name, count(t.measured_at)
from gateway.device as d
left join {table} as t
    on t.device_id = d.id and t.measured_at between %(from_at)s and %(until_at)s
where d.name = any(%(names)s)
group by d.name;

-- name: replay_is_decided
-- The end of a stream leaves at most one window open; everything before it must be through.
select coalesce(bool_and(
    s.scored_through + make_interval(secs => %(window_s)s) > p.measured_through
    and (f.made_at is null or m.decided_through >= f.made_at)
), false)
from gateway.device as d
left join ingest.progress as p on p.device_id = d.id
left join anomaly.scorer_state as s on s.device_id = d.id
left join maintenance.decision_progress as m on m.device_id = d.id
left join lateral (
    select max(made_at) as made_at from anomaly.forecast as f where f.device_id = d.id
) as f on true
where d.name = any(%(names)s);

-- name: replay_results
select
    d.name,
    (select count(*) from anomaly.detection as a where a.device_id = d.id and a.change = 'raised' and a.kind <> 'sensor'),
    (select min(a.at) from anomaly.detection as a where a.device_id = d.id and a.change = 'raised' and a.kind <> 'sensor'),
    (select count(*) from maintenance.ticket as t where t.device_id = d.id),
    (select min(t.opened_at) from maintenance.ticket as t where t.device_id = d.id),
    (select count(*) from ingest.dead_letter as l where l.device_name = d.name)
from gateway.device as d
where d.name = any(%(names)s)
order by d.name;

-- name: running_stages
select count(distinct application_name)
from pg_stat_activity
where application_name in ('forecare ingest', 'forecare anomaly', 'forecare maintenance')
    and datname = current_database();

-- name: sheet
select sheet from gateway.product where name = %(product)s;
