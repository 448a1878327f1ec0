-- name: rules
-- Of one product, by its id or its name, or of all.
select p.name, r.failure_mode, r.standing, r.since, r.model_id, r.counted_from, r.counted_through,
       r.right_alarms, r.false_alarms, r.unknown_alarms, r.waiting_alarms, r.device_years,
       r.budget_per_device_year, r.evidence, r.sentences
from anomaly.rule_standing r
join gateway.product p on p.id = r.product_id
where (%(product_id)s::bigint is null or r.product_id = %(product_id)s)
  and (%(product)s::text is null or p.name = %(product)s)
order by p.name, r.failure_mode;

-- name: forecasts_made
-- Forecasts that claimed something since each rule was counted last: time without them is no watching.
select r.failure_mode, count(*)
from unnest(%(modes)s::text[], %(from_at)s::timestamptz[]) as r (failure_mode, from_at)
join gateway.device d on d.product_id = %(product_id)s
join anomaly.forecast f on f.device_id = d.id and f.failure_mode = r.failure_mode
where f.made_at > coalesce(r.from_at, '-infinity') and f.made_at <= %(through)s
  and f.status in ('ok', 'declining')
group by r.failure_mode;

-- name: alerts_of_rules
-- Tickets that forecasts opened, what a technician found, and what came after the opening: the first failure
-- of the mode, and the first time that its component was replaced on another visit.
select t.failure_mode, t.opened_at, t.closed_at, t.close_reason, t.kind = 'corrective', f.verdict,
       failed.at, replaced.at, c.scored_through
from unnest(%(modes)s::text[], %(from_at)s::timestamptz[]) as r (failure_mode, from_at)
join gateway.device d on d.product_id = %(product_id)s
join maintenance.ticket t on t.device_id = d.id and t.failure_mode = r.failure_mode
left join maintenance.work_order w on w.ticket_id = t.id
left join maintenance.finding f on f.work_order_id = w.id and f.found_at <= %(through)s
left join anomaly.scorer_state c on c.device_id = d.id
cross join lateral (
    select min(x.at) as at from anomaly.failure x
    where x.device_id = d.id and x.failure_mode = t.failure_mode and x.at > t.opened_at and x.at <= %(through)s
) failed
cross join lateral (
    select min(y.found_at) as at from maintenance.finding y
    where y.device_id = d.id and y.component = t.component and y.work_order_id is distinct from w.id
        and y.verdict in ('confirmed', 'incipient', 'other_fault')
        and y.found_at > t.opened_at and y.found_at <= %(through)s
) replaced
where t.reason = 'failure_likely' and t.opened_at <= %(through)s
  and t.opened_at > coalesce(r.from_at, '-infinity')
order by t.id;

-- name: newest_scored
select max(c.scored_through)
from gateway.device d join anomaly.scorer_state c on c.device_id = d.id
where d.product_id = %(product_id)s;

-- name: keep_rule
insert into anomaly.rule_standing
    (product_id, failure_mode, standing, since, model_id, counted_from, counted_through, right_alarms,
     false_alarms, unknown_alarms, waiting_alarms, device_years, budget_per_device_year, evidence, sentences,
     updated_at)
values (%(product_id)s, %(failure_mode)s, %(standing)s, %(since)s, %(model_id)s, %(counted_from)s,
    %(counted_through)s, %(right)s, %(false)s, %(unknown)s, %(waiting)s, %(device_years)s, %(budget)s,
    %(evidence)s, %(sentences)s, %(now)s)
on conflict (product_id, failure_mode) do update
set standing = excluded.standing, since = excluded.since, model_id = excluded.model_id,
    counted_from = excluded.counted_from, counted_through = excluded.counted_through,
    right_alarms = excluded.right_alarms, false_alarms = excluded.false_alarms,
    unknown_alarms = excluded.unknown_alarms, waiting_alarms = excluded.waiting_alarms,
    device_years = excluded.device_years, budget_per_device_year = excluded.budget_per_device_year,
    evidence = excluded.evidence, sentences = excluded.sentences, updated_at = excluded.updated_at;

-- name: add_rule_event
insert into anomaly.rule_event
    (product_id, failure_mode, model_id, change, event_at, right_alarms, false_alarms, device_years,
     budget_per_device_year, reason, at)
values (%(product_id)s, %(failure_mode)s, %(model_id)s, %(change)s, %(event_at)s, %(right)s, %(false)s,
    %(device_years)s, %(budget)s, %(reason)s, %(now)s);

-- name: rule_events
select at, failure_mode, model_id, change, reason
from anomaly.rule_event
where product_id = %(product_id)s
order by id desc
limit %(limit)s;
