-- name: technicians
select id, name, skills, latitude, longitude from maintenance.technician order by id

-- name: put_technician
insert into maintenance.technician (name, email, phone, skills, timezone, latitude, longitude)
values (%(name)s, %(email)s, %(phone)s, %(skills)s, %(timezone)s, %(latitude)s, %(longitude)s)
on conflict (email) do update
set name = excluded.name, phone = excluded.phone, skills = excluded.skills,
    timezone = excluded.timezone, latitude = excluded.latitude, longitude = excluded.longitude
returning id

-- name: busy
-- Appointments of other work orders; the own one is replaced when a new time is booked.
select technician_id, lower(during), upper(during)
from maintenance.appointment
where state = 'confirmed' and during && tstzrange(%(starts_at)s, %(ends_at)s)
  and work_order_id <> %(work_order_id)s

-- name: book
insert into maintenance.appointment (work_order_id, technician_id, during, state, booked_by, created_at)
values (%(work_order_id)s, %(technician_id)s, tstzrange(%(starts_at)s, %(ends_at)s), 'confirmed',
    %(booked_by)s, %(now)s)
returning id

-- name: appointments_so_far
select count(*) from maintenance.appointment where work_order_id = %(work_order_id)s

-- name: technician_name
select name from maintenance.technician where id = %(technician_id)s

-- name: finding_of
select id, verdict, component, note, parts, checklist_done
from maintenance.finding where work_order_id = %(work_order_id)s

-- name: record_finding
insert into maintenance.finding (work_order_id, device_id, failure_mode, component, verdict, note,
    parts, checklist_done, found_at, recorded_by, created_at)
values (%(work_order_id)s, %(device_id)s, %(failure_mode)s, %(component)s, %(verdict)s, %(note)s,
    %(parts)s, %(checklist_done)s, %(found_at)s, %(by)s, %(now)s)
returning id
