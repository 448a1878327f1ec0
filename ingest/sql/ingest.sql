-- name: load_streams
select s.device_id, s.boot, s.seq_stored
from unnest(%(device_ids)s::bigint[], %(boots)s::bigint[]) as wanted (device_id, boot)
join ingest.stream s using (device_id, boot);

-- name: save_streams
-- Never backwards, whoever writes: during a new split two processes may know the same device.
insert into ingest.stream (device_id, boot, seq_stored)
select * from unnest(%(device_ids)s::bigint[], %(boots)s::bigint[], %(seqs)s::bigint[])
order by 1, 2
on conflict (device_id, boot) do update
set seq_stored = greatest(stream.seq_stored, excluded.seq_stored);

-- name: save_progress
-- A device whose first messages lie beyond a gap is known, but nothing of it may be scored yet:
-- its history then ends just before it begins. Returned are the devices of which something came late,
-- behind what was stored before, and how far that was: none, nearly always.
with batch as (
    select device_id, first_at, through, batch.samples, known.measured_through as before
    from unnest(%(device_ids)s::bigint[], %(firsts_ms)s::bigint[], %(throughs_ms)s::bigint[],
                %(samples)s::bigint[]) as batch (device_id, first_ms, through_ms, samples)
    cross join lateral (select timestamptz 'epoch' + first_ms * interval '1 millisecond' as first_at,
                               timestamptz 'epoch' + nullif(through_ms, %(never_ms)s) * interval '1 millisecond' as through) as at
    left join ingest.progress known using (device_id)
), saved as (
    insert into ingest.progress (device_id, first_measured_at, measured_through, received_at, samples)
    select device_id, first_at, coalesce(through, before, first_at - interval '1 microsecond'),
           %(now)s, samples
    from batch
    order by 1
    on conflict (device_id) do update
    set first_measured_at = least(progress.first_measured_at, excluded.first_measured_at),
        measured_through = greatest(progress.measured_through, excluded.measured_through),
        received_at = greatest(progress.received_at, excluded.received_at),
        samples = progress.samples + excluded.samples
)
select device_id, (extract(epoch from before) * 1000)::bigint from batch where first_at < before;

-- name: lock_progress
-- For a writer beside the ingest process: what it then compares with cannot be overtaken.
select from ingest.progress where device_id = any(%(device_ids)s) order by device_id for update;

-- name: newest_of_product
select (extract(epoch from max(g.measured_through)) * 1000)::bigint
from gateway.product p
join gateway.device d on d.product_id = p.id
join ingest.progress g on g.device_id = d.id
where p.name = %(product)s;

-- name: save_late
-- Only what came late touches its row; what is live costs nothing. A device whose first samples lie
-- beyond a gap has a row already.
update ingest.progress g
set late_through = greatest(g.late_through, timestamptz 'epoch' + late_ms * interval '1 millisecond')
from unnest(%(device_ids)s::bigint[], %(lates_ms)s::bigint[]) as late (device_id, late_ms)
where g.device_id = late.device_id;

-- name: add_dead_letter
-- The same refused payload again is the same letter: redelivery after a crash must not double it.
insert into ingest.dead_letter (device_name, topic, payload, reason, detail, received_at)
values (%(device_name)s, %(topic)s, %(payload)s, %(reason)s, %(detail)s, %(received_at)s)
on conflict (device_name, digest) do update set times = dead_letter.times + 1;

-- name: load_products
select p.name, p.revision, p.sheet from gateway.product p;

-- name: load_devices
select d.id, d.name, d.shard, p.name
from gateway.device d join gateway.product p on p.id = d.product_id
where d.retired_at is null and d.name = any(%(names)s);

-- name: load_device_changes
-- The first column says where to go on: every transaction before it is over, so what is still to be
-- committed lies at or after it. A line may be read twice, none is missed.
select pg_snapshot_xmin(pg_current_snapshot())::text, c.name, c.shard
from (select 1) always left join gateway.device_change c on c.changed_in >= %(seen_to)s::text::xid8;

-- name: list_dead_letters
select id, device_name, reason, detail, received_at, times, octet_length(payload) as bytes,
       replayed_at, replay_result
from ingest.dead_letter
where (%(reason)s::text is null or reason = %(reason)s)
  and (%(device)s::text is null or device_name = %(device)s)
  and (%(with_replayed)s or replayed_at is null)
order by id desc
limit %(limit)s;

-- name: count_dead_letters
select reason, count(*), sum(times) from ingest.dead_letter where replayed_at is null
group by reason order by reason;

-- name: show_dead_letter
select id, device_name, topic, payload, reason, detail, received_at, times, replayed_at, replay_result
from ingest.dead_letter where id = %(id)s;

-- name: lock_dead_letters
-- Locked, so that two replays at once do not count a letter twice; done ones are skipped.
select id, topic, payload, received_at
from ingest.dead_letter
where replayed_at is null and id > %(after)s
  and (%(ids)s::bigint[] is null or id = any(%(ids)s))
  and (%(reason)s::text is null or reason = %(reason)s)
order by id
limit %(limit)s
for update;

-- name: mark_replayed
update ingest.dead_letter set replayed_at = %(now)s, replay_result = %(result)s where id = %(id)s;

-- name: mark_refused_again
update ingest.dead_letter set replay_result = %(result)s where id = %(id)s;
