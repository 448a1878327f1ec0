-- name: progress
-- How far a product's devices have come, per stage, in event time. A device that is further behind the
-- newest than the sheet's late_after does not hold the others up, so a silent one cannot stop the clock.
with reached as (
    select d.id, g.measured_through as stored, c.scored_through as scored, q.decided_through as decided
    from gateway.device d
    left join ingest.progress g on g.device_id = d.id
    left join anomaly.scorer_state c on c.device_id = d.id
    left join maintenance.decision_progress q on q.device_id = d.id
    where d.product_id = %(product_id)s and d.retired_at is null
)
select
    case when max(stored) is not null then
        greatest(min(coalesce(stored, '-infinity')), max(stored) - %(late_after)s) end as stored_through,
    case when max(scored) is not null then
        greatest(min(coalesce(scored, '-infinity')), max(scored) - %(late_after)s) end as scored_through,
    case when max(decided) is not null then
        greatest(min(coalesce(decided, '-infinity')), max(decided) - %(late_after)s) end as decided_through,
    count(id) as devices
from reached;

-- name: product_pace
select id, (sheet ->> 'late_after')::interval as late_after from gateway.product where name = %(name)s;

-- name: products
select p.name, p.title, p.revision, m.name as manufacturer, p.updated_at,
    (select count(*) from gateway.device d where d.product_id = p.id and d.retired_at is null) as devices
from gateway.product p join gateway.manufacturer m on m.id = p.manufacturer_id
where %(name)s::text is null or p.name = %(name)s
order by p.title
limit %(limit)s;

-- name: product_sheet
select sheet, sheet_toml from gateway.product where name = %(name)s;

-- name: figures
-- What the fleet page says in six numbers. Prevented counts only what a technician confirmed while the
-- ticket was still preventive: one whose device fails first turns corrective, and counts as warned too late.
with device as (
    select d.id, d.fresh_until > %(now)s as is_reporting, d.measured_through is not null as has_data
    from api.device_now d
), ended as (
    select t.kind, t.reason, t.opened_at, t.fails_from, f.verdict,
        t.kind = 'preventive' and f.verdict in ('confirmed', 'incipient') as is_prevented
    from maintenance.ticket t
    left join maintenance.work_order w on w.ticket_id = t.id
    left join maintenance.finding f on f.work_order_id = w.id
    where t.state <> 'cancelled'
)
select
    (select count(*) from device) as devices,
    (select count(*) from device where is_reporting) as reporting,
    (select count(distinct device_id) from maintenance.alert
        where cleared_at is null and level in ('plan', 'act')) as at_risk,
    count(*) filter (where is_prevented) as prevented,
    count(*) filter (where kind = 'corrective' and reason = 'reported_fault') as without_warning,
    count(*) filter (where kind = 'corrective' and reason <> 'reported_fault') as too_late,
    count(*) filter (where reason <> 'reported_fault' and verdict in ('confirmed', 'incipient'))
        as forecasts_right,
    count(*) filter (where reason <> 'reported_fault' and verdict <> 'not_inspected') as forecasts_checked,
    percentile_cont(0.5) within group (order by extract(epoch from fails_from - opened_at)::float8 / 86400)
        filter (where is_prevented) as lead_days
from ended;

-- name: needs_us
-- Parts by what they cost if nobody comes: the chance of failing within 30 days times the cost of it.
select part.*, d.name as device, d.product, d.product_title, d.serial, d.owner, d.city, d.timezone, d.event_now,
    coalesce(d.fresh_until > %(now)s, false) as is_reporting,
    coalesce(part.p_fail_30d, 0) * part.cost_of_failure as at_stake,
    coalesce((
        select c.action = 'inspect' from maintenance.decision c
        where c.device_id = part.device_id and c.failure_mode = part.failure_mode
        order by c.decided_at desc limit 1
    ), false) as is_left_to_next_visit
from api.part join api.device_now d on d.id = part.device_id
where (part.level in ('act', 'plan', 'watch') or part.ticket_id is not null)
    and (%(level)s::text is null or part.level = %(level)s)
    and (%(product)s::text is null or d.product = %(product)s)
    and (%(q)s::text is null or concat_ws(' ', d.name, d.serial, d.owner, d.city, d.lot, d.firmware, part.title)
        ilike %(q)s)
order by at_stake desc, array_position(array['act', 'plan', 'watch', 'none', 'ok'], part.level), d.name
limit %(limit)s offset %(offset)s;

-- name: needs_us_count
select count(*) from api.part join api.device_now d on d.id = part.device_id
where (part.level in ('act', 'plan', 'watch') or part.ticket_id is not null)
    and (%(level)s::text is null or part.level = %(level)s)
    and (%(product)s::text is null or d.product = %(product)s)
    and (%(q)s::text is null or concat_ws(' ', d.name, d.serial, d.owner, d.city, d.lot, d.firmware, part.title)
        ilike %(q)s);

-- name: emerging_issues
-- Groups that fail more often than others of the same age: flagged ones first, then by evidence.
select i.id, p.name as product, p.title as product_title, i.failure_mode,
    coalesce((select mode ->> 'title' from jsonb_array_elements(p.sheet -> 'failure_modes') as m (mode)
        where mode ->> 'name' = i.failure_mode), i.failure_mode) as failure_mode_title,
    i.trait, i.value, i.state, i.reason, i.state_since, i.flagged_at, i.devices, i.well, i.failures, i.expected,
    i.signs, i.expected_signs, i.ratio, i.ratio_low, i.ratio_high, i.since, i.looked_through, i.shared_with,
    i.sentences
from anomaly.emerging_issue i
join gateway.product p on p.id = i.product_id
where i.state = any(%(states)s) and (%(product)s::text is null or p.name = %(product)s)
order by array_position(array['flagged', 'watched', 'cleared'], i.state), i.log_evidence desc, i.id
limit %(limit)s;

-- name: learning
-- Products none of whose devices is judged yet: how long they have been watched, of how long it takes.
select p.name, p.title, (p.sheet ->> 'learning')::interval as learning,
    max(g.measured_through - g.first_measured_at) as watched, count(d.id) as devices
from gateway.product p
join gateway.device d on d.product_id = p.id and d.retired_at is null
left join ingest.progress g on g.device_id = d.id
where not exists (
    select from anomaly.baseline b where b.product_id = p.id
)
group by p.id
order by p.title;

-- name: intake
-- What has come in, for the line at the foot of the fleet page.
select coalesce(sum(g.samples), 0)::bigint as samples, max(g.received_at) as received_at,
    max(g.measured_through) as measured_through,
    (select count(*) from ingest.dead_letter where replayed_at is null) as dead_letters,
    (select max(made_at) from anomaly.forecast
        where made_at > (select max(decided_through) from maintenance.decision_progress) - interval '1 day')
        as forecast_at
from ingest.progress g;

-- name: readiness
select (select count(*) from core.migration) as migrations,
    (select max(measured_through) from ingest.progress) as stored_through,
    (select max(scored_through) from anomaly.scorer_state) as scored_through,
    (select max(decided_through) from maintenance.decision_progress) as decided_through,
    (select count(*) from maintenance.notification where state = 'queued') as notifications_waiting;

-- name: dead_letters
select id, device_name, topic, reason, detail, received_at, replayed_at, replay_result
from ingest.dead_letter
where %(before)s::bigint is null or id < %(before)s
order by id desc
limit %(limit)s;
