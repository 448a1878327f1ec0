-- name: lock_device_to_command
-- Two callers count the open commands of a device one after the other.
select d.id, p.sheet from gateway.device d join gateway.product p on p.id = d.product_id
where d.name = %(name)s and d.retired_at is null
for no key update of d;

-- name: count_open_commands
select count(*) from gateway.device_command where device_id = %(device_id)s and ended_at is null;

-- name: insert_command
-- Due at once: if the device is not connected, the gateway lets it rest until its next birth.
insert into gateway.device_command (id, device_id, name, args, actor, created_at, deadline_at, send_after)
values (%(id)s, %(device_id)s, %(name)s, %(args)s, %(actor)s, %(now)s, %(deadline_at)s, %(now)s);

-- name: forget_old_commands
-- The history of a device has a limit; what is still open is no history.
delete from gateway.device_command
where device_id = %(device_id)s and ended_at is not null and id in (
    select id from gateway.device_command where device_id = %(device_id)s and ended_at is not null
    order by created_at desc offset %(keep)s);

-- name: find_commands
select c.id, d.name as device, c.name, c.args, c.state, c.reason, c.result, c.late_answer, c.actor,
       c.created_at, c.deadline_at, c.sent_at, c.acknowledged_at, c.ended_at, c.tries
from gateway.device_command c join gateway.device d on d.id = c.device_id
where (%(device)s::text is null or d.name = %(device)s)
  and (%(id)s::text is null or c.id = %(id)s)
  and (%(before)s::timestamptz is null or c.created_at < %(before)s)
order by c.created_at desc, c.id limit %(limit)s;

-- name: lock_command
-- A device answers for its own commands alone.
select c.state, c.deadline_at from gateway.device_command c
where c.id = %(id)s and c.device_id = (select id from gateway.device where name = %(device)s)
for update;

-- name: move_command
update gateway.device_command
set state = %(state)s, reason = %(reason)s,
    result = case when %(state)s in ('done', 'failed') then %(result)s else result end,
    acknowledged_at = case when %(state)s in ('acknowledged', 'done', 'failed')
                           then coalesce(acknowledged_at, %(now)s) else acknowledged_at end,
    ended_at = case when %(is_final)s then %(now)s::timestamptz end,
    send_after = null
where id = %(id)s;

-- name: note_late_answer
update gateway.device_command set late_answer = %(answer)s where id = %(id)s and late_answer is null;

-- name: overdue_commands
select id, state, deadline_at from gateway.device_command
where ended_at is null and deadline_at <= %(now)s
order by deadline_at limit %(limit)s
for update skip locked;

-- name: commands_born
-- A birth: what the device has not acknowledged is sent again, without waiting for the back-off.
update gateway.device_command c set send_after = %(now)s
from gateway.device d
where d.id = c.device_id and d.name = any(%(names)s) and c.state in ('queued', 'sent');

-- name: due_commands
-- Oldest first, so that a device hears them in the order in which they were given.
select c.id, d.name as device, d.shard, c.name, c.args, c.deadline_at, c.state, c.tries
from gateway.device_command c
join gateway.device d on d.id = c.device_id
join gateway.presence p on p.device_id = c.device_id and p.is_connected
where c.send_after <= %(now)s and c.state in ('queued', 'sent') and c.deadline_at > %(now)s
order by c.created_at, c.id limit %(limit)s
for update of c skip locked;

-- name: commands_sent
update gateway.device_command c
set state = 'sent', sent_at = coalesce(c.sent_at, %(now)s), tries = c.tries + 1, send_after = sent.next_at
from unnest(%(ids)s::text[], %(next_at)s::timestamptz[]) as sent (id, next_at)
where c.id = sent.id;

-- name: rest_commands
-- Nobody is there to hear it: the next birth brings it back.
update gateway.device_command set send_after = null
where id in (
    select c.id from gateway.device_command c
    where c.send_after <= %(now)s
      and not exists (select from gateway.presence p where p.device_id = c.device_id and p.is_connected)
    for update skip locked);
