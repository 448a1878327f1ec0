-- name: claim_shifted
-- In the order of the key, so that two processes never wait for each other crosswise.
insert into ingest.shifted (device_id, digest, ahead, arrived_at)
select device_id, digest, ahead_ms * interval '1 millisecond', %(now)s
from unnest(%(device_ids)s::bigint[], %(digests)s::bytea[], %(aheads_ms)s::bigint[])
    as said (device_id, digest, ahead_ms)
on conflict (device_id, digest) do nothing
returning device_id, digest;

-- name: note_clock
insert into ingest.clock (device_id, ahead, first_at, last_at, messages)
values (%(device_id)s, %(ahead_ms)s * interval '1 millisecond', %(now)s, %(now)s, %(messages)s)
on conflict (device_id) do update
set ahead = excluded.ahead, last_at = excluded.last_at, messages = clock.messages + excluded.messages;

-- name: clock
select c.ahead, c.first_at, c.last_at, c.messages
from ingest.clock c join gateway.device d on d.id = c.device_id where d.name = %(name)s;

-- name: taken_instants
-- The bounds let the planner leave out all chunks but a few.
select t.device_id, (extract(epoch from t.measured_at) * 1000)::bigint
from unnest(%(device_ids)s::bigint[], %(times_ms)s::bigint[]) as said (device_id, at_ms)
join {table} t on t.device_id = said.device_id
              and t.measured_at = timestamptz 'epoch' + said.at_ms * interval '1 millisecond'
where t.measured_at between timestamptz 'epoch' + %(first_ms)s * interval '1 millisecond'
                        and timestamptz 'epoch' + %(last_ms)s * interval '1 millisecond';
