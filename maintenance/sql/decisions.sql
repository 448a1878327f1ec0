-- name: enrol_devices
-- A device enters with its first forecast. The instant before it counts as decided, so that the
-- first forecast itself is not skipped.
insert into maintenance.decision_progress (device_id, decided_through)
select device.id, first.made_at - interval '1 microsecond'
from gateway.device as device
cross join lateral (
    select f.made_at from anomaly.forecast as f
    where f.device_id = device.id order by f.made_at limit 1
) as first
where not exists (
    select from maintenance.decision_progress as p where p.device_id = device.id
)
on conflict (device_id) do nothing

-- name: claim_devices
-- Whoever holds the row decides for the device; others skip it. In the order of device ids, so two
-- workers never wait for each other crosswise.
select p.device_id, p.decided_through, p.streaks
from maintenance.decision_progress as p
where p.device_id <> all(%(without)s)
  and exists (
    select from anomaly.forecast as f
    where f.device_id = p.device_id and f.made_at > p.decided_through
)
order by p.device_id
limit %(devices_max)s
for update of p skip locked

-- name: pending_forecasts
-- Whole instants only: all failure modes of a device at one made_at are decided together.
select f.id, f.device_id, f.failure_mode, f.made_at, f.status,
       f.p_fail_1d, f.p_fail_7d, f.p_fail_30d,
       f.life_hours_q10, f.life_hours_q50, f.life_hours_q90, f.evidence
from unnest(%(device_ids)s::bigint[], %(decided_through)s::timestamptz[]) as d (device_id, decided_through)
cross join lateral (
    select max(made_at) as made_at from (
        select distinct g.made_at from anomaly.forecast as g
        where g.device_id = d.device_id and g.made_at > d.decided_through
        order by g.made_at limit %(instants_max)s
    ) as instants
) as last
join anomaly.forecast as f
  on f.device_id = d.device_id and f.made_at > d.decided_through and f.made_at <= last.made_at
order by f.device_id, f.made_at, f.failure_mode

-- name: devices
select device.id, device.product_id, product.revision,
       greatest(progress.measured_through, p.decided_through) as event_now, progress.late_through
from gateway.device as device
join gateway.product as product on product.id = device.product_id
left join ingest.progress as progress on progress.device_id = device.id
left join maintenance.decision_progress as p on p.device_id = device.id
where device.id = any(%(device_ids)s)

-- name: sheet
select sheet, revision from gateway.product where id = %(product_id)s

-- name: demoted_rules
-- Rules that overdrew their budget of false alarms: they open no ticket.
select product_id, failure_mode, since from anomaly.rule_standing
where product_id = any(%(product_ids)s) and standing = 'inspect_at_next_visit'

-- name: open_tickets
-- Locked, so that a ticket cannot be closed by people while it is being decided about.
select id, device_id, failure_mode, component, kind, state, level, due_at
from maintenance.ticket
where device_id = any(%(device_ids)s) and closed_at is null
order by id
for update

-- name: closed_tickets
select distinct on (device_id, failure_mode) device_id, failure_mode, closed_at, close_reason
from maintenance.ticket
where device_id = any(%(device_ids)s) and closed_at is not null
order by device_id, failure_mode, closed_at desc

-- name: record_decision
insert into maintenance.decision (device_id, failure_mode, forecast_id, decided_at, action, reason,
    cost_of_waiting, cost_of_acting, created_at)
values (%(device_id)s, %(failure_mode)s, %(forecast_id)s, %(decided_at)s, %(action)s, %(reason)s,
    %(cost_of_waiting)s, %(cost_of_acting)s, %(now)s)
on conflict (device_id, failure_mode, decided_at) do nothing

-- name: record_progress
update maintenance.decision_progress
set decided_through = %(decided_through)s, streaks = %(streaks)s
where device_id = %(device_id)s

-- name: tickets_to_remind
-- Nobody has chosen a time for so long; the unique event key keeps it at one reminder.
select t.id from maintenance.ticket as t
join maintenance.decision_progress as p on p.device_id = t.device_id
where t.device_id = any(%(device_ids)s) and t.state = 'open'
  and t.opened_at + %(after)s <= p.decided_through
  and not exists (
    select from maintenance.notification as n
    where n.ticket_id = t.id and n.event_key = 'ticket:' || t.id || ':reminder'
)

-- name: status
select
    (select count(*) from maintenance.decision_progress) as devices,
    (select count(*) from maintenance.decision_progress as p where exists (
        select from anomaly.forecast as f
        where f.device_id = p.device_id and f.made_at > p.decided_through)) as devices_behind,
    (select max(decided_through) from maintenance.decision_progress) as decided_through,
    (select count(*) from maintenance.decision) as decisions,
    (select count(*) from maintenance.technician) as technicians,
    (select count(*) from maintenance.alert where cleared_at is null) as alerts_open

-- name: ticket_counts
select state, kind, count(*) from maintenance.ticket group by state, kind order by state, kind

-- name: notification_counts
select state, count(*) from maintenance.notification group by state order by state

-- name: finding_counts
select verdict, count(*) from maintenance.finding group by verdict order by verdict
