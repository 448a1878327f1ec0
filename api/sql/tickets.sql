-- name: tickets
select t.id, t.number, d.name as device, d.product, d.product_title, d.owner, d.city, d.timezone, t.failure_mode,
    t.component, t.kind, t.state, t.level, t.reason, t.title, t.opened_at, t.due_at, t.fails_from,
    t.fails_until, t.closed_at, t.close_reason, w.id as work_order_id, f.verdict,
    lower(b.during) as visit_starts_at, upper(b.during) as visit_ends_at, a.acknowledged_at
from maintenance.ticket t
join api.device_now d on d.id = t.device_id
join maintenance.alert a on a.id = t.alert_id
left join maintenance.work_order w on w.ticket_id = t.id
left join maintenance.finding f on f.work_order_id = w.id
left join maintenance.appointment b on b.work_order_id = w.id and b.state <> 'cancelled'
where (%(ticket_id)s::bigint is null or t.id = %(ticket_id)s)
    and (%(state)s::text is null or t.state = %(state)s
        or (%(state)s = 'unfinished' and t.state in ('open', 'scheduled', 'in_service')))
    and (%(device)s::text is null or d.name = %(device)s)
    and (%(owner_id)s::bigint is null or d.owner_id = %(owner_id)s)
    and (%(technician_id)s::bigint is null or b.technician_id = %(technician_id)s)
    and (%(before)s::bigint is null or t.id < %(before)s)
order by t.id desc
limit %(limit)s;

-- name: ticket_evidence
select t.evidence, t.alert_id, t.device_id, t.kind, c.reason as decision_reason, c.cost_of_waiting, c.cost_of_acting
from maintenance.ticket t
left join lateral (
    select * from maintenance.decision c
    where c.device_id = t.device_id and c.failure_mode = t.failure_mode and c.decided_at <= t.opened_at
    order by c.decided_at desc limit 1
) c on true
where t.id = %(ticket_id)s;

-- name: ticket_history
select id, at, actor, action, reason, detail from maintenance.history
where ticket_id = %(ticket_id)s order by id limit %(limit)s;

-- name: ticket_notifications
select id, event_key, channel, address, subject, body_text, state, state_reason, attempts, event_at, sent_at
from maintenance.notification where ticket_id = %(ticket_id)s order by id limit %(limit)s;

-- name: appointment
select b.id, b.work_order_id, b.technician_id, n.name as technician, n.phone as technician_phone,
    lower(b.during) as starts_at, upper(b.during) as ends_at, b.state, b.booked_by
from maintenance.appointment b
join maintenance.technician n on n.id = b.technician_id
join maintenance.work_order w on w.id = b.work_order_id
where w.ticket_id = %(ticket_id)s and b.state <> 'cancelled';

-- name: work_orders
-- A technician sees his or her own; the manufacturer sees all.
select w.id, w.number, w.ticket_id, d.name as device, d.product, d.product_title, d.serial, t.failure_mode, t.component,
    w.title, w.state, lower(b.during) as starts_at, upper(b.during) as ends_at, w.due_at, w.kit, w.skills,
    w.checklist, w.duration, w.started_at, w.done_at, d.owner, d.owner_phone, d.site, d.address, d.city, d.timezone,
    d.access_note, d.event_now, d.warranty_until, t.level, t.kind, t.fails_from, t.fails_until,
    n.name as technician, f.verdict, f.component as found_component, f.note as found_note, f.parts as found_parts,
    f.checklist_done, f.found_at
from maintenance.work_order w
join maintenance.ticket t on t.id = w.ticket_id
join api.device_now d on d.id = w.device_id
left join maintenance.appointment b on b.work_order_id = w.id and b.state <> 'cancelled'
left join maintenance.technician n on n.id = b.technician_id
left join maintenance.finding f on f.work_order_id = w.id
where (%(work_order_id)s::bigint is null or w.id = %(work_order_id)s)
    and (%(state)s::text is null or w.state = %(state)s)
    and (%(technician_id)s::bigint is null or b.technician_id = %(technician_id)s)
    and (%(device)s::text is null or d.name = %(device)s)
    and (%(after)s::bigint is null or w.id > %(after)s)
order by w.id
limit %(limit)s;

-- name: track_record
-- Of the forecasts like this one that somebody went to look at: how many were right.
select count(*) filter (where f.verdict in ('confirmed', 'incipient')) as forecasts_right, count(*) as forecasts_checked
from maintenance.finding f
join maintenance.work_order w on w.id = f.work_order_id
join maintenance.ticket t on t.id = w.ticket_id
join gateway.device d on d.id = t.device_id
join gateway.product p on p.id = d.product_id
where t.reason <> 'reported_fault' and f.verdict <> 'not_inspected' and t.failure_mode = %(failure_mode)s
    and p.name = %(product)s;
