-- name: rules
-- Failure modes whose rule has been counted, those that open no tickets first.
select p.name as product, p.title as product_title, r.failure_mode,
    coalesce((select mode ->> 'title' from jsonb_array_elements(p.sheet -> 'failure_modes') as m (mode)
        where mode ->> 'name' = r.failure_mode), r.failure_mode) as failure_mode_title,
    r.standing, r.since, r.model_id, r.counted_from, r.counted_through, r.right_alarms, r.false_alarms,
    r.unknown_alarms, r.waiting_alarms, r.device_years, r.budget_per_device_year, r.evidence,
    r.sentences
from anomaly.rule_standing r
join gateway.product p on p.id = r.product_id
where (%(product)s::text is null or p.name = %(product)s)
    and (not %(demoted_only)s or r.standing = 'inspect_at_next_visit')
order by r.standing = 'full', p.name, r.failure_mode
limit %(limit)s;

-- name: decisions
-- The newest decision about each failure mode of a device: why is there a ticket, or why none?
select distinct on (c.failure_mode) c.failure_mode, c.decided_at, c.action, c.reason, c.cost_of_waiting,
    c.cost_of_acting
from maintenance.decision c
where c.device_id = %(device_id)s
order by c.failure_mode, c.decided_at desc;

-- name: drifts
-- What has drifted first.
select p.name as product, p.title as product_title, x.kind, x.name,
    coalesce((select part ->> 'title'
        from jsonb_array_elements(p.sheet -> case x.kind when 'calibration' then 'failure_modes'
            else 'metrics' end) as m (part)
        where part ->> 'name' = x.name), x.name) as title,
    x.state, x.since, x.figure, x.figures, x.looked_through,
    x.sentences
from anomaly.drift x
join gateway.product p on p.id = x.product_id
where (%(product)s::text is null or p.name = %(product)s) and x.state = any(%(states)s)
order by array_position(array['drifted', 'steady', 'unclear'], x.state), p.name, x.kind, x.name
limit %(limit)s;
