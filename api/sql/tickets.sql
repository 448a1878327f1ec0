-- name: tickets
-- An owner who got the device from somebody else sees what is unfinished and what came after that.
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
left join api.handed_over h on h.device_id = d.id
where (%(ticket_id)s::bigint is null or t.id = %(ticket_id)s)
    and (%(state)s::text is null or t.state = %(state)s
        or (%(state)s = 'unfinished' and t.state in ('open', 'scheduled', 'in_service')))
    and (%(device)s::text is null or d.name = %(device)s)
    and (%(owner_id)s::bigint is null or (d.owner_id = %(owner_id)s
        and (h.since is null or t.closed_at is null or t.created_at >= h.since)))
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
-- What was done and said before the device changed hands is not for its present owner.
select e.id, e.at, e.actor, e.action, e.reason, e.detail
from maintenance.history e
left join api.handed_over h on h.device_id = e.device_id
where e.ticket_id = %(ticket_id)s and (not %(for_owner)s or h.since is null or e.created_at >= h.since)
order by e.id limit %(limit)s;

-- name: ticket_notifications
-- Messages bear the name and the address of whoever they went to.
select n.id, n.event_key, n.channel, n.address, n.subject, n.body_text, n.state, n.state_reason, n.attempts,
    n.event_at, n.sent_at
from maintenance.notification n
join maintenance.ticket t on t.id = n.ticket_id
left join api.handed_over h on h.device_id = t.device_id
where n.ticket_id = %(ticket_id)s and (not %(for_owner)s or h.since is null or n.owner_id = h.owner_id)
order by n.id limit %(limit)s;

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

-- name: link_standing
-- Whether a link may still be used follows from whose the device is now.
select d.owner_id, h.since is not null as was_handed_over
from maintenance.ticket t
join gateway.device d on d.id = t.device_id
left join api.handed_over h on h.device_id = d.id
where t.id = %(ticket_id)s;

-- name: booked_visits
-- Visits that a former owner had agreed to.
select t.id from maintenance.ticket t join gateway.device d on d.id = t.device_id
where d.name = %(device)s and t.state = 'scheduled';
