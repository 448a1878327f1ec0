-- name: device_born
-- A birth of an older boot is a leftover of a queue and changes nothing.
insert into gateway.presence (device_id, boot, is_connected, firmware, connected_at, updated_at)
select d.id, %(boot)s, true, %(firmware)s, %(now)s, %(now)s
from gateway.device d where d.name = %(name)s
on conflict (device_id) do update
set boot = excluded.boot, is_connected = true, connected_at = excluded.connected_at,
    firmware = case when excluded.firmware = '' then presence.firmware else excluded.firmware end,
    updated_at = excluded.updated_at
where presence.boot <= excluded.boot
returning device_id;

-- name: firmware_seen
update gateway.device set firmware = %(firmware)s
where name = %(name)s and %(firmware)s <> '' and firmware <> %(firmware)s;

-- name: firmware_run
-- The history of a device's versions. A birth that shows what the newest row says adds nothing.
insert into gateway.device_firmware (device_id, version, boot, since, runs_since)
select d.id, %(firmware)s, %(boot)s, %(now)s, coalesce(%(event_at)s, g.measured_through)
from gateway.device d
left join ingest.progress g on g.device_id = d.id
where d.name = %(name)s
  and %(firmware)s is distinct from (select f.version from gateway.device_firmware f
                                     where f.device_id = d.id order by f.since desc limit 1)
on conflict do nothing;

-- name: device_gone
-- A late will of an older boot must not mark the new session offline.
insert into gateway.presence (device_id, boot, is_connected, disconnected_at, updated_at)
select d.id, %(boot)s, false, %(now)s, %(now)s
from gateway.device d where d.name = %(name)s
on conflict (device_id) do update
set boot = excluded.boot, is_connected = false, disconnected_at = excluded.disconnected_at,
    updated_at = excluded.updated_at
where presence.boot <= excluded.boot
returning device_id;
