-- name: let_speak
-- One node at most speaks for a device: the newest word counts.
insert into gateway.speaks_for (device_id, node_id, created_at)
select device.id, node.id, %(now)s
from gateway.device device, gateway.device node
where device.name = %(device)s and node.name = %(node)s
on conflict (device_id) do update set node_id = excluded.node_id, created_at = excluded.created_at
returning device_id;

-- name: let_speak_no_longer
delete from gateway.speaks_for s
using gateway.device device, gateway.device node
where s.device_id = device.id and s.node_id = node.id
  and device.name = %(device)s and node.name = %(node)s
returning s.device_id;

-- name: devices_named
select name from gateway.device where name = any(%(names)s) and retired_at is null;
