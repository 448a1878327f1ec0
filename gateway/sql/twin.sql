-- name: find_configuration
-- A device that nobody has set anything for has no row yet: then its product alone speaks.
select d.id as device_id, d.name as device, d.shard,
       coalesce(t.version, s.version, 0) as version,
       coalesce(s.defaults, '{}') as defaults, coalesce(s.desired, '{}') as product,
       coalesce(t.own, '{}') as own, coalesce(t.reported, '{}') as reported,
       coalesce(t.reported_version, 0) as reported_version,
       t.reported_at, t.differs_at, t.sent_at, coalesce(t.tries, 0) as tries
from gateway.device d
left join gateway.twin t on t.device_id = d.id
left join gateway.product_configuration s on s.product_id = d.product_id
where d.name = %(name)s;

-- name: ensure_twin
-- A device's versions begin where those of its product stand.
insert into gateway.twin (device_id, version, differs_at)
select d.id, coalesce(s.version, 0), case when s.version > 0 then %(now)s::timestamptz end
from gateway.device d left join gateway.product_configuration s on s.product_id = d.product_id
where d.name = %(name)s
on conflict (device_id) do nothing;

-- name: lock_twin
-- A report and a change of the same device wait for each other.
select t.device_id from gateway.twin t join gateway.device d on d.id = t.device_id
where d.name = %(name)s for update of t;

-- name: set_own_configuration
update gateway.twin
set own = %(own)s, version = version + 1, differs_at = coalesce(differs_at, %(now)s),
    send_after = %(now)s, tries = 0
where device_id = %(device_id)s
returning version;

-- name: sheet_of_device
select p.id, p.sheet from gateway.device d join gateway.product p on p.id = d.product_id where d.name = %(name)s;

-- name: lock_product_configuration
-- The update that changes nothing makes `returning` answer for an existing row too, and locks it.
insert into gateway.product_configuration (product_id, updated_at) values (%(product_id)s, %(now)s)
on conflict (product_id) do update set updated_at = product_configuration.updated_at
returning version, defaults, desired;

-- name: set_product_configuration
update gateway.product_configuration
set defaults = %(defaults)s, desired = %(desired)s, version = version + 1, updated_at = %(now)s
where product_id = %(product_id)s
returning version;

-- name: touch_twins_of_product
-- Every device of the product has a new version; those that are not connected are told at their birth.
-- In the order of names, as reports are taken in: two transactions never wait for each other crosswise.
insert into gateway.twin (device_id, version, differs_at, send_after)
select d.id, s.version, %(now)s, %(now)s
from gateway.device d join gateway.product_configuration s on s.product_id = d.product_id
where d.product_id = %(product_id)s and d.retired_at is null
order by d.name
on conflict (device_id) do update
set version = twin.version + 1, differs_at = coalesce(twin.differs_at, excluded.differs_at),
    send_after = excluded.send_after, tries = 0;

-- name: find_product_configuration
select p.name as product, coalesce(s.version, 0) as version, coalesce(s.defaults, '{}') as defaults,
       coalesce(s.desired, '{}') as desired,
       (select count(*) from gateway.twin t join gateway.device d on d.id = t.device_id
        where d.product_id = p.id and t.differs_at is not null) as differing
from gateway.product p left join gateway.product_configuration s on s.product_id = p.id
where p.name = %(name)s;

-- name: note_configuration_change
insert into gateway.configuration_change (product_id, device_id, version, patch, actor, changed_at)
values (%(product_id)s, %(device_id)s, %(version)s, %(patch)s, %(actor)s, %(now)s);

-- name: configuration_changes
-- Of a device: its own and those of its product, newest first.
select c.id, c.device_id is null as is_of_product, c.version, c.patch, c.actor, c.changed_at
from gateway.configuration_change c
join gateway.device d on d.name = %(name)s and d.product_id = c.product_id
where (c.device_id = d.id or c.device_id is null) and (%(before)s::bigint is null or c.id < %(before)s)
order by c.id desc limit %(limit)s;

-- name: twins_born
-- A birth: what the device does not have is sent, without waiting for the back-off of the last session.
insert into gateway.twin (device_id, version, differs_at, send_after)
select d.id, s.version, %(now)s, %(now)s
from gateway.device d join gateway.product_configuration s on s.product_id = d.product_id
where d.name = any(%(names)s) and s.version > 0
on conflict (device_id) do nothing;

-- name: send_after_birth
update gateway.twin t set send_after = %(now)s, tries = 0
from gateway.device d
where d.id = t.device_id and d.name = any(%(names)s) and t.reported_version < t.version;

-- name: due_configurations
-- In the order in which they became due; the rest waits for the next tick, and so does what somebody
-- is changing just now.
select d.id as device_id, d.name as device, d.shard, t.version,
       coalesce(s.defaults, '{}') as defaults, coalesce(s.desired, '{}') as product, t.own, t.reported,
       t.reported_version, t.reported_at, t.differs_at, t.sent_at, t.tries
from gateway.twin t
join gateway.device d on d.id = t.device_id
join gateway.presence p on p.device_id = t.device_id and p.is_connected
left join gateway.product_configuration s on s.product_id = d.product_id
where t.send_after <= %(now)s and t.reported_version < t.version
order by t.send_after limit %(limit)s
for update of t skip locked;

-- name: configurations_sent
update gateway.twin t
set sent_at = %(now)s, tries = t.tries + 1, send_after = sent.next_at
from unnest(%(device_ids)s::bigint[], %(next_at)s::timestamptz[]) as sent (device_id, next_at)
where t.device_id = sent.device_id;

-- name: rest_configurations
-- Nobody is there to hear it, or nothing is left to say: the next birth or change brings it back.
update gateway.twin set send_after = null
where device_id in (
    select t.device_id from gateway.twin t
    where t.send_after <= %(now)s
      and (t.reported_version >= t.version
           or not exists (select from gateway.presence p
                          where p.device_id = t.device_id and p.is_connected))
    for update skip locked);

-- name: take_report
update gateway.twin
set version = %(version)s, reported = %(reported)s, reported_version = %(reported_version)s,
    reported_at = %(now)s, differs_at = %(differs_at)s,
    send_after = case when not %(is_to_send)s then null else coalesce(send_after, %(now)s) end
where device_id = %(device_id)s;
