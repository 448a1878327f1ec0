-- name: fleet_watermark
-- How far a product's devices have been scored in common; one that is far behind holds nobody up.
select greatest(min(c.scored_through), max(c.scored_through) - %(late_after)s)
from gateway.device d join anomaly.scorer_state c on c.device_id = d.id
where d.product_id = %(product_id)s and d.retired_at is null;

-- name: sister_products
-- Products of the same manufacturer, itself among them: those with a failure mode of the same name are
-- compared with each other.
select p.id, p.title, p.sheet
from gateway.product p
where p.manufacturer_id = (select manufacturer_id from gateway.product where id = %(product_id)s)
order by p.id;

-- name: fleet_devices
-- What devices share, and when each was watched: from its first sample to how far it is scored. Its age
-- counts from delivery; a device that measured before it was delivered is as old as its data.
select d.id, d.product_id, d.lot, coalesce(s.city, '') as city,
    coalesce(nullif(r.firmware, ''), d.firmware) as firmware,
    least(d.delivered_at, g.first_measured_at) as born_at, g.first_measured_at,
    least(c.scored_through, %(through)s) as watched_through,
    d.retired_at is null as is_in_service
from gateway.device d
join ingest.progress g on g.device_id = d.id
join anomaly.scorer_state c on c.device_id = d.id
left join gateway.site s on s.id = d.site_id
left join gateway.presence r on r.device_id = d.id
where d.product_id = any(%(product_ids)s) and g.first_measured_at < %(through)s
order by d.id;

-- name: fleet_firmware
-- Which version each device has run since when; only what is known in event time.
select f.device_id, f.version, f.runs_since
from gateway.device_firmware f
join gateway.device d on d.id = f.device_id
where d.product_id = any(%(product_ids)s) and f.runs_since <= %(through)s
order by f.device_id, f.runs_since, f.since;

-- name: fleet_failures
-- The first failure of each failure mode of a device.
select x.device_id, x.failure_mode, min(x.at) as at
from anomaly.failure x
join gateway.device d on d.id = x.device_id
where d.product_id = any(%(product_ids)s) and x.at <= %(through)s
group by x.device_id, x.failure_mode;

-- name: fleet_signs
-- The first detection of each failure mode of a device: weaker than a failure, and sooner.
select x.device_id, x.failure_mode, min(x.at) as at
from anomaly.detection x
join gateway.device d on d.id = x.device_id
where d.product_id = any(%(product_ids)s) and x.at <= %(through)s
    and x.kind in ('wear', 'reported_fault') and x.change = 'raised'
group by x.device_id, x.failure_mode;

-- name: fleet_replaced
-- The first replacement of each component of a device: the part that was delivered is gone from then on.
select f.device_id, f.component, min(f.found_at) as at
from maintenance.finding f
join gateway.device d on d.id = f.device_id
where d.product_id = any(%(product_ids)s) and f.found_at <= %(through)s
    and f.verdict in ('confirmed', 'incipient', 'other_fault')
group by f.device_id, f.component;

-- name: known_issues
select id, failure_mode, trait, value, state, reason
from anomaly.emerging_issue where product_id = %(product_id)s;

-- name: keep_issue
insert into anomaly.emerging_issue
    (product_id, failure_mode, trait, value, state, reason, state_since, flagged_at, devices, well, failures,
     expected, signs, expected_signs, ratio, ratio_low, ratio_high, log_evidence, since, shared_with, sentences,
     looked_through, created_at, updated_at)
values (%(product_id)s, %(failure_mode)s, %(trait)s, %(value)s, %(state)s, %(reason)s, %(through)s,
    case when %(state)s = 'flagged' then %(through)s::timestamptz end, %(devices)s, %(well)s, %(failures)s,
    %(expected)s, %(signs)s, %(expected_signs)s, %(ratio)s, %(ratio_low)s, %(ratio_high)s, %(log_evidence)s,
    %(since)s, %(shared_with)s, %(sentences)s, %(through)s, %(now)s, %(now)s)
on conflict (product_id, failure_mode, trait, value) do update
set state = excluded.state, reason = excluded.reason, devices = excluded.devices, well = excluded.well,
    state_since = case when emerging_issue.state = excluded.state
        then emerging_issue.state_since else excluded.state_since end,
    flagged_at = case when emerging_issue.state = 'flagged' or excluded.state <> 'flagged'
        then emerging_issue.flagged_at else excluded.flagged_at end,
    failures = excluded.failures, expected = excluded.expected, signs = excluded.signs,
    expected_signs = excluded.expected_signs, ratio = excluded.ratio, ratio_low = excluded.ratio_low,
    ratio_high = excluded.ratio_high, log_evidence = excluded.log_evidence, since = excluded.since,
    shared_with = excluded.shared_with, sentences = excluded.sentences, looked_through = excluded.looked_through,
    updated_at = excluded.updated_at
returning id;

-- name: clear_issue
-- The group is no more: no device that was ever watched has this value.
update anomaly.emerging_issue
set state = 'cleared', reason = 'none_left', well = 0, state_since = %(through)s, looked_through = %(through)s,
    updated_at = %(now)s
where id = %(issue_id)s;

-- name: add_change
insert into anomaly.emerging_issue_change
    (issue_id, at, state, reason, devices, failures, expected, ratio_low, log_evidence, created_at)
select id, looked_through, state, reason, devices, failures, expected, ratio_low, log_evidence, %(now)s
from anomaly.emerging_issue where id = %(issue_id)s
on conflict do nothing;

-- name: issues
-- For `forecare anomaly issues`: what stands out first.
select p.name, i.state, i.state_since, i.well, i.ratio, i.ratio_low, i.ratio_high, i.sentences
from anomaly.emerging_issue i join gateway.product p on p.id = i.product_id
where (%(product)s::text is null or p.name = %(product)s) and (%(with_cleared)s or i.state <> 'cleared')
order by p.name, array_position(array['flagged', 'watched', 'cleared'], i.state), i.log_evidence desc
limit %(limit)s;
