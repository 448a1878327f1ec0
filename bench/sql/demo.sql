-- name: products
select name from gateway.product order by name;

-- name: samples_by_device
-- Counted from the rows themselves, not from any counter that a stage keeps.
select d.name, s.samples
from (select device_id, count(*) as samples from {table} group by device_id) as s
join gateway.device as d on d.id = s.device_id;

-- name: tickets
select d.name, t.failure_mode, t.opened_at
from maintenance.ticket as t
join gateway.device as d on d.id = t.device_id
order by t.id;

-- name: notifications_sent
select count(*) from maintenance.notification where state = 'sent';

-- name: tickets_open_twice
select count(*)
from maintenance.ticket as a
join maintenance.ticket as b
    on b.device_id = a.device_id and b.failure_mode = a.failure_mode and b.id > a.id
where tstzrange(a.opened_at, a.closed_at) && tstzrange(b.opened_at, b.closed_at);

-- name: newest_owner
-- Somebody with a case to look at.
select o.id, o.email
from maintenance.ticket as t
join gateway.device as d on d.id = t.device_id
join gateway.owner as o on o.id = d.owner_id
order by t.closed_at is null desc, t.id desc
limit 1;

-- name: newest_technician
-- Somebody with work to do, else with work done.
select e.id, e.email
from maintenance.technician as e
join maintenance.appointment as a on a.technician_id = e.id
order by (a.state = 'confirmed') desc, a.id desc
limit 1;
