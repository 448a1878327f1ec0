-- name: insert_campaign
insert into gateway.campaign (product_id, firmware_id, title, from_versions, lots, stages, per_hour, hold,
                              watch, offers_max, install_within, tolerated_failures, false_stops, state,
                              created_at, created_by)
values (%(product_id)s, %(firmware_id)s, %(title)s, %(from_versions)s, %(lots)s, %(stages)s, %(per_hour)s,
        %(hold)s, %(watch)s, %(offers_max)s, %(install_within)s, %(tolerated_failures)s, %(false_stops)s,
        'draft', %(now)s, %(by)s)
returning id;

-- name: list_campaigns
select c.id, p.name as product, p.title as product_title, c.firmware_id, f.version, c.title, c.from_versions,
       c.lots, c.stages, c.per_hour, c.hold, c.watch, c.offers_max, c.install_within, c.tolerated_failures,
       c.false_stops, c.stop_from_e, c.state, c.reason, c.stage, c.stage_since, c.tokens, c.tokens_at, c.event_from,
       c.verdict, c.looked_at, c.created_at, c.created_by, c.started_at, c.ended_at
from gateway.campaign c
join gateway.product p on p.id = c.product_id
join gateway.firmware f on f.id = c.firmware_id
where (%(id)s::bigint is null or c.id = %(id)s)
  and (%(ids)s::bigint[] is null or c.id = any(%(ids)s))
  and (%(states)s::text[] is null or c.state = any(%(states)s))
  and (%(product)s::text is null or p.name = %(product)s)
  and (%(before)s::bigint is null or c.id < %(before)s)
order by c.id desc
limit %(limit)s;

-- name: lock_campaign
-- Whoever changes a campaign holds this row first; devices are locked after it, never before.
select state from gateway.campaign where id = %(id)s for update;

-- name: set_campaign_state
update gateway.campaign
set state = %(state)s, reason = %(reason)s,
    started_at = coalesce(started_at, case when %(state)s = 'running' then %(now)s end),
    ended_at = case when %(state)s in ('done', 'cancelled') then %(now)s end
where id = %(id)s;

-- name: go_on_in_spite
-- A person has read the evidence and decided: it stops again only when ten times as much speaks against it.
update gateway.campaign
set stop_from_e = 10 * greatest((verdict ->> 'failures_e')::float, (verdict ->> 'detections_e')::float, 1)
where id = %(id)s;

-- name: start_campaign_clock
-- The stage and the bucket begin now; the comparison begins where the fleet's data stands.
update gateway.campaign c
set stage_since = %(now)s, tokens = 1, tokens_at = %(now)s,
    event_from = (select max(g.measured_through)
                  from gateway.campaign_device m join ingest.progress g on g.device_id = m.device_id
                  where m.campaign_id = c.id)
where c.id = %(id)s;

-- name: begin_comparison
-- A fleet that had sent nothing when the campaign was started.
update gateway.campaign c
set event_from = (select min(g.measured_through)
                  from gateway.campaign_device m join ingest.progress g on g.device_id = m.device_id
                  where m.campaign_id = c.id)
where c.id = %(id)s and c.event_from is null;

-- name: set_campaign_stage
update gateway.campaign set stage = %(stage)s, stage_since = %(now)s, reason = '' where id = %(id)s;

-- name: set_campaign_reason
update gateway.campaign set reason = %(reason)s where id = %(id)s and reason <> %(reason)s;

-- name: set_campaign_tokens
update gateway.campaign set tokens = %(tokens)s, tokens_at = %(now)s where id = %(id)s;

-- name: set_campaign_verdict
update gateway.campaign set verdict = %(verdict)s, looked_at = %(now)s where id = %(id)s;

-- name: add_campaign_event
insert into gateway.campaign_event (campaign_id, at, actor, action, reason)
values (%(id)s, %(now)s, %(by)s, %(action)s, %(reason)s);

-- name: campaign_events
select at, actor, action, reason from gateway.campaign_event
where campaign_id = %(id)s order by id desc limit %(limit)s;

-- name: campaign_candidates
-- Devices that may connect and do not run the new version.
select d.id, d.name, coalesce(nullif(r.firmware, ''), d.firmware) as firmware
from gateway.device d
join gateway.campaign c on c.product_id = d.product_id
join gateway.firmware f on f.id = c.firmware_id
left join gateway.presence r on r.device_id = d.id
left join gateway.credential k on k.device_id = d.id
where c.id = %(id)s and d.retired_at is null and k.revoked_at is null
  and coalesce(nullif(r.firmware, ''), d.firmware) <> f.version
  and (cardinality(c.from_versions) = 0
       or coalesce(nullif(r.firmware, ''), d.firmware) = any(c.from_versions))
  and (cardinality(c.lots) = 0 or d.lot = any(c.lots))
order by d.id;

-- name: campaign_overlaps
-- Devices that another unfinished campaign may still update.
select m.campaign_id, count(*) as devices
from gateway.campaign_device m
join gateway.campaign c on c.id = m.campaign_id
where m.device_id = any(%(device_ids)s) and m.campaign_id <> %(id)s
  and c.state in ('running', 'paused', 'stopped')
  and m.state not in ('installed', 'failed', 'rolled_back', 'skipped')
group by m.campaign_id order by m.campaign_id;

-- name: insert_members
insert into gateway.campaign_device (campaign_id, device_id, stage, state, from_version, since)
select %(id)s, x.device_id, x.stage, 'waiting', x.version, %(now)s
from unnest(%(device_ids)s::bigint[], %(stages)s::smallint[], %(versions)s::text[])
    as x (device_id, stage, version)
on conflict do nothing;

-- name: members_of_devices
-- The rows that a batch of messages is about, locked in one order so that two writers never meet.
select m.campaign_id, m.device_id, d.name as device, d.shard, m.stage, m.state, m.reason, m.from_version,
       m.offers, m.chunk, m.boot, m.since, m.due_at, m.is_withdrawn, m.runs_since
from gateway.campaign_device m
join gateway.device d on d.id = m.device_id
join gateway.campaign c on c.id = m.campaign_id
where d.name = any(%(devices)s)
  and (c.state in ('running', 'paused', 'stopped') or m.state = 'installing' or m.campaign_id = any(%(campaign_ids)s))
order by m.campaign_id, m.device_id
for update of m;

-- name: members_to_offer
-- Whose turn it is: there, not yet updated, not busy with another campaign; the first stages first.
select m.campaign_id, m.device_id, d.name as device, d.shard, m.stage, m.state, m.reason, m.from_version,
       m.offers, m.chunk, m.boot, m.since, m.due_at, m.is_withdrawn, m.runs_since
from gateway.campaign_device m
join gateway.device d on d.id = m.device_id
join gateway.presence r on r.device_id = m.device_id and r.is_connected
left join gateway.credential k on k.device_id = d.id
where m.campaign_id = %(id)s and m.state = 'waiting' and m.stage <= %(stage)s
  and (m.due_at is null or m.due_at <= %(now)s)
  and d.retired_at is null and k.revoked_at is null
  and not exists (select 1 from gateway.campaign_device b
                  where b.device_id = m.device_id and b.campaign_id <> m.campaign_id
                    and b.state in ('offered', 'downloading', 'downloaded', 'verified', 'installing'))
order by m.stage, m.due_at, m.device_id
limit %(limit)s
for update of m skip locked;

-- name: members_overdue
select m.campaign_id, m.device_id, d.name as device, d.shard, m.stage, m.state, m.reason, m.from_version,
       m.offers, m.chunk, m.boot, m.since, m.due_at, m.is_withdrawn, m.runs_since,
       coalesce(r.is_connected, false) as is_connected
from gateway.campaign_device m
join gateway.device d on d.id = m.device_id
left join gateway.presence r on r.device_id = m.device_id
where m.due_at <= %(now)s
  and m.state in ('offered', 'downloading', 'downloaded', 'verified', 'installing')
order by m.campaign_id, m.device_id
limit %(limit)s
for update of m skip locked;

-- name: members_to_withdraw
select m.campaign_id, m.device_id, d.name as device, d.shard, m.stage, m.state, m.reason, m.from_version,
       m.offers, m.chunk, m.boot, m.since, m.due_at, m.is_withdrawn, m.runs_since
from gateway.campaign_device m
join gateway.device d on d.id = m.device_id
where m.is_withdrawn
order by m.campaign_id, m.device_id
limit %(limit)s
for update of m skip locked;

-- name: withdraw_members
-- What can no longer be stopped (installing) goes on. A device that holds an offer is told.
update gateway.campaign_device
set is_withdrawn = is_withdrawn or state <> 'waiting', state = %(state)s, reason = %(reason)s, since = %(now)s, due_at = null
where campaign_id = %(id)s
  and (state in ('offered', 'downloading', 'downloaded', 'verified')
       or (state = 'waiting' and %(state)s <> 'waiting'));

-- name: retry_members
update gateway.campaign_device m
set state = 'waiting', reason = '', offers = 0, since = %(now)s, due_at = null, is_withdrawn = false
from gateway.device d
where m.campaign_id = %(id)s and d.id = m.device_id and m.state in ('failed', 'rolled_back')
  and (%(device)s::text is null or d.name = %(device)s)
returning d.name;

-- name: device_boots
-- The start that a device is in, for an offer that is made to it.
select device_id, boot from gateway.presence where device_id = any(%(device_ids)s);

-- name: device_event_times
-- How far the data of devices has come, for the instant at which a birth shows a new version.
select d.name, g.measured_through
from gateway.device d join ingest.progress g on g.device_id = d.id
where d.name = any(%(devices)s);

-- name: keep_members
update gateway.campaign_device m
set state = x.state, reason = x.reason, offers = x.offers, chunk = x.chunk, boot = x.boot, since = x.since,
    due_at = x.due_at, is_withdrawn = x.is_withdrawn, runs_since = x.runs_since
from unnest(%(campaign_ids)s::bigint[], %(device_ids)s::bigint[], %(states)s::text[], %(reasons)s::text[],
            %(offers)s::smallint[], %(chunks)s::integer[], %(boots)s::bigint[], %(sinces)s::timestamptz[],
            %(dues)s::timestamptz[], %(withdrawn)s::boolean[], %(runs)s::timestamptz[])
    as x (campaign_id, device_id, state, reason, offers, chunk, boot, since, due_at, is_withdrawn, runs_since)
where m.campaign_id = x.campaign_id and m.device_id = x.device_id;

-- name: stage_counts
select m.stage, m.state, count(*) as devices, count(*) filter (where r.is_connected) as connected
from gateway.campaign_device m
left join gateway.presence r on r.device_id = m.device_id
where m.campaign_id = %(id)s
group by m.stage, m.state
order by m.stage, m.state;

-- name: state_counts
-- Of many campaigns at once, for the list.
select campaign_id, state, count(*) as devices
from gateway.campaign_device where campaign_id = any(%(ids)s)
group by campaign_id, state;

-- name: lives
-- Devices of a campaign since the comparison began, in event time. Waiting ones are the other side.
-- A device whose update failed counts as the old version, which it booted with. One that had sent nothing
-- when it was updated has sent all that it has sent since with the new version.
select s.scored_through as through,
       case when m.state = 'installed' then coalesce(m.runs_since, c.event_from) end as runs_since,
       (select min(x.at) from anomaly.detection x
        where x.device_id = m.device_id and x.change = 'raised' and x.kind in ('wear', 'reported_fault')
          and x.at > c.event_from) as detected_at
from gateway.campaign_device m
join gateway.campaign c on c.id = m.campaign_id
join anomaly.scorer_state s on s.device_id = m.device_id
where m.campaign_id = %(id)s and s.scored_through > c.event_from;

-- name: campaign_late_after
select (p.sheet ->> 'late_after')::interval
from gateway.campaign c join gateway.product p on p.id = c.product_id where c.id = %(id)s;

-- name: list_members
select d.name as device, d.serial, d.lot, m.stage, m.state, m.reason, m.from_version, d.firmware, m.offers,
       m.chunk, m.since, coalesce(r.is_connected, false) as is_connected
from gateway.campaign_device m
join gateway.device d on d.id = m.device_id
left join gateway.presence r on r.device_id = m.device_id
where m.campaign_id = %(id)s
  and (%(states)s::text[] is null or m.state = any(%(states)s))
  and (%(after)s::text is null or d.name > %(after)s)
order by d.name
limit %(limit)s;
