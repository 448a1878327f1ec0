-- name: load_sparkplug_nodes
-- Asked for once per node and process; afterwards it is kept in memory.
select node, group_id, boot, bd_seq, born_ms, newest_ms, next_seq, is_alive, is_stale, births
from ingest.sparkplug_node where node = any(%(nodes)s);

-- name: save_sparkplug_node
-- The births, up to a megabyte, are written only when they have changed.
insert into ingest.sparkplug_node (node, group_id, boot, bd_seq, born_ms, newest_ms, next_seq,
                                   is_alive, is_stale, births)
values (%(node)s, %(group_id)s, %(boot)s, %(bd_seq)s, %(born_ms)s, %(newest_ms)s, %(next_seq)s,
        %(is_alive)s, %(is_stale)s, coalesce(%(births)s::bytea, ''::bytea))
on conflict (node) do update
set group_id = excluded.group_id, boot = excluded.boot, bd_seq = excluded.bd_seq,
    born_ms = excluded.born_ms, newest_ms = excluded.newest_ms, next_seq = excluded.next_seq,
    is_alive = excluded.is_alive, is_stale = excluded.is_stale,
    births = coalesce(%(births)s::bytea, sparkplug_node.births);

-- name: load_spoken_for
-- Read for every batch that needs it: permission that was taken back ends at once.
select node.name, device.name
from gateway.speaks_for s
join gateway.device node on node.id = s.node_id
join gateway.device device on device.id = s.device_id
where node.name = any(%(nodes)s) and node.retired_at is null and device.retired_at is null;
