-- name: open_alert
-- The partial unique index decides: no row means that this episode is open already.
insert into maintenance.alert (device_id, failure_mode, opened_at, level, updated_at)
values (%(device_id)s, %(failure_mode)s, %(opened_at)s, %(level)s, %(now)s)
on conflict (device_id, failure_mode) where cleared_at is null do nothing
returning id

-- name: alert_of
select id from maintenance.alert
where device_id = %(device_id)s and failure_mode = %(failure_mode)s and cleared_at is null

-- name: open_ticket
insert into maintenance.ticket (alert_id, device_id, failure_mode, component, kind, state, level,
    reason, title, evidence, opened_at, due_at, fails_from, fails_until, created_at)
values (%(alert_id)s, %(device_id)s, %(failure_mode)s, %(component)s, %(kind)s, 'open', %(level)s,
    %(reason)s, %(title)s, %(evidence)s, %(opened_at)s, %(due_at)s, %(fails_from)s, %(fails_until)s,
    %(now)s)
on conflict (device_id, failure_mode) where closed_at is null do nothing
returning id

-- name: open_work_order
insert into maintenance.work_order (ticket_id, device_id, title, state, kit, skills, checklist,
    duration, due_at, created_at)
values (%(ticket_id)s, %(device_id)s, %(title)s, 'ready', %(kit)s, %(skills)s, %(checklist)s,
    %(duration)s, %(due_at)s, %(now)s)
returning id

-- name: raise_ticket
-- The due date only ever moves closer; the window of the expected failure follows it.
update maintenance.ticket
set level = %(level)s, kind = %(kind)s, due_at = least(due_at, %(due_at)s),
    fails_from = coalesce(%(fails_from)s, fails_from),
    fails_until = case when %(fails_from)s::timestamptz is null then fails_until
                       else %(fails_until)s::timestamptz end
where id = %(ticket_id)s and closed_at is null

-- name: raise_work_order
update maintenance.work_order
set due_at = least(due_at, %(due_at)s)
where ticket_id = %(ticket_id)s and state in ('ready', 'scheduled', 'in_progress')

-- name: raise_alert
update maintenance.alert set level = %(level)s, updated_at = %(now)s
where id = (select alert_id from maintenance.ticket where id = %(ticket_id)s) and cleared_at is null

-- name: extend_work_order
-- Another failure mode of the same component joins: its parts and steps are added, once.
update maintenance.work_order
set kit = kit || %(kit)s::jsonb, checklist = checklist || %(checklist)s::jsonb
where ticket_id = %(ticket_id)s and state in ('ready', 'scheduled')
  and not kit @> %(kit)s::jsonb

-- name: add_inspection
-- A rule that was wrong too often opens no ticket: the visit that comes anyway looks at its part too, once.
update maintenance.work_order
set checklist = checklist || %(step)s::jsonb
where ticket_id = %(ticket_id)s and state in ('ready', 'scheduled') and not checklist @> %(step)s::jsonb

-- name: lock_ticket
select id, device_id, failure_mode, alert_id, state, closed_at, opened_at
from maintenance.ticket where id = %(ticket_id)s for update

-- name: ticket_of_work_order
select ticket_id from maintenance.work_order where id = %(work_order_id)s

-- name: move_ticket
update maintenance.ticket set state = %(to)s
where id = %(id)s and state = any(%(sources)s)

-- name: close_ticket
update maintenance.ticket
set state = %(to)s, closed_at = greatest(opened_at, %(closed_at)s), close_reason = %(close_reason)s
where id = %(id)s and state = any(%(sources)s)

-- name: move_work_order
update maintenance.work_order
set state = %(to)s,
    started_at = coalesce(%(started_at)s, started_at), done_at = coalesce(%(done_at)s, done_at)
where id = %(id)s and state = any(%(sources)s)

-- name: move_appointments
update maintenance.appointment set state = %(to)s
where work_order_id = %(work_order_id)s and state = any(%(sources)s)
returning id, technician_id, lower(during) as starts_at, upper(during) as ends_at

-- name: clear_alert
update maintenance.alert
set cleared_at = greatest(opened_at, %(cleared_at)s), updated_at = %(now)s
where id = %(alert_id)s and cleared_at is null

-- name: acknowledge_alert
update maintenance.alert
set acknowledged_at = %(now)s, acknowledged_by = %(by)s, updated_at = %(now)s
where id = %(alert_id)s and acknowledged_at is null and cleared_at is null
returning device_id, (select t.id from maintenance.ticket as t where t.alert_id = alert.id limit 1)

-- name: alert
select device_id, acknowledged_by, cleared_at from maintenance.alert where id = %(alert_id)s

-- name: event_now
select coalesce(greatest(progress.measured_through, p.decided_through), %(otherwise)s)
from (select %(device_id)s::bigint as device_id) as d
left join ingest.progress as progress on progress.device_id = d.device_id
left join maintenance.decision_progress as p on p.device_id = d.device_id

-- name: case_of_ticket
select t.id as ticket_id, t.number, t.kind, t.state, t.level, t.title, t.opened_at, t.due_at,
       t.fails_from, t.fails_until, t.evidence, t.close_reason, t.alert_id, t.failure_mode,
       t.component, w.id as work_order_id, w.state as work_order_state, w.duration, w.skills,
       device.id as device_id, device.name as device_name, device.serial,
       device.delivered_at, device.warranty_until, product.sheet,
       o.id as owner_id, o.name as owner_name, o.email, o.locale, o.timezone as owner_timezone,
       site.address, site.city, coalesce(site.timezone, o.timezone, 'UTC') as site_timezone,
       site.latitude, site.longitude,
       coalesce(greatest(progress.measured_through, p.decided_through), t.opened_at) as event_now,
       record.inspected, record.correct
from maintenance.ticket as t
join maintenance.work_order as w on w.ticket_id = t.id
join gateway.device as device on device.id = t.device_id
join gateway.product as product on product.id = device.product_id
left join gateway.owner as o on o.id = device.owner_id
left join gateway.site as site on site.id = device.site_id
left join ingest.progress as progress on progress.device_id = t.device_id
left join maintenance.decision_progress as p on p.device_id = t.device_id
cross join lateral (
    select count(*) filter (where f.verdict <> 'not_inspected') as inspected,
           count(*) filter (where f.verdict in ('confirmed', 'incipient')) as correct
    from maintenance.finding as f
    join gateway.device as peer on peer.id = f.device_id
    where peer.product_id = device.product_id and f.failure_mode = t.failure_mode
) as record
where t.id = %(ticket_id)s

-- name: record_history
insert into maintenance.history (device_id, ticket_id, at, actor, action, reason, detail, created_at)
values (%(device_id)s, %(ticket_id)s, %(at)s, %(actor)s, %(action)s, %(reason)s, %(detail)s, %(now)s)
