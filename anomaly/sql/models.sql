-- name: add_model
-- Revisions count per product and failure mode; two trainings at once get two of them.
insert into anomaly.model
    (product_id, failure_mode, revision, data_from, data_through, devices, failures, features, seeds,
     figures, parameters, code_version, created_at, training_id)
select %(product_id)s, %(failure_mode)s,
       coalesce((select max(revision) from anomaly.model
                 where product_id = %(product_id)s and failure_mode = %(failure_mode)s), 0) + 1,
       %(data_from)s, %(data_through)s, %(devices)s, %(failures)s, %(features)s, %(seeds)s,
       %(figures)s, %(parameters)s, %(code_version)s, %(now)s, %(training_id)s
returning id, revision;

-- name: lock_product
-- One training of a product at a time; it ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('anomaly.training', %(product_id)s));

-- name: set_role
insert into anomaly.model_role (product_id, failure_mode, role, model_id, since)
values (%(product_id)s, %(failure_mode)s, %(role)s, %(model_id)s, %(now)s)
on conflict (product_id, failure_mode, role) do update
set model_id = excluded.model_id, since = excluded.since;

-- name: clear_role
delete from anomaly.model_role
where product_id = %(product_id)s and failure_mode = %(failure_mode)s and role = %(role)s;

-- name: add_model_event
insert into anomaly.model_event (product_id, failure_mode, model_id, change, reason, at)
values (%(product_id)s, %(failure_mode)s, %(model_id)s, %(change)s, %(reason)s, %(now)s);

-- name: roles
-- Who speaks, and who is only asked.
select r.failure_mode, r.role, m.id, m.parameters
from anomaly.model_role r
join anomaly.model m on m.id = r.model_id
where r.product_id = %(product_id)s;

-- name: role_ids
-- Cheap to ask before every turn: what speaks is read again only when it has changed.
select failure_mode, role, model_id
from anomaly.model_role
where product_id = %(product_id)s
order by failure_mode, role;

-- name: models
-- Every model of a product, newest first, and the role that it has.
select m.id, m.failure_mode, m.revision, r.role, m.data_from, m.data_through, m.devices, m.failures,
       m.figures, m.code_version, m.created_at
from anomaly.model m
left join anomaly.model_role r
    on r.product_id = m.product_id and r.failure_mode = m.failure_mode and r.model_id = m.id
where m.product_id = %(product_id)s
order by m.failure_mode, m.revision desc;

-- name: model_card
-- All about one model but its parameters, and what it said in shadow beside what was said then.
select m.id, m.failure_mode, m.revision, r.role, m.data_from, m.data_through, m.devices, m.failures,
       m.figures, m.code_version, m.created_at, p.name, m.features, m.seeds,
       s.forecasts, s.newest_at, s.chance, s.chance_said
from anomaly.model m
join gateway.product p on p.id = m.product_id
left join anomaly.model_role r
    on r.product_id = m.product_id and r.failure_mode = m.failure_mode and r.model_id = m.id
cross join lateral (
    select count(*) as forecasts, max(x.made_at) as newest_at, avg(x.p_fail_30d)::float8 as chance,
           avg(f.p_fail_30d)::float8 as chance_said
    from anomaly.shadow_forecast x
    left join anomaly.forecast f
        on f.device_id = x.device_id and f.failure_mode = x.failure_mode and f.made_at = x.made_at
    where x.model_id = m.id
) s
where m.id = %(model_id)s
order by r.role limit 1;

-- name: model_by_id
select id, product_id, failure_mode, revision, parameters from anomaly.model where id = %(model_id)s;

-- name: model_events
select e.at, e.failure_mode, e.model_id, m.revision, e.change, e.reason
from anomaly.model_event e
left join anomaly.model m on m.id = e.model_id
where e.product_id = %(product_id)s
order by e.id desc
limit %(limit)s;

-- name: add_shadow_forecasts
-- Asked again after a crash it says the same.
insert into anomaly.shadow_forecast
    (device_id, failure_mode, made_at, model_id, p_fail_1d, p_fail_7d, p_fail_30d,
     life_hours_q05, life_hours_q10, life_hours_q50, life_hours_q90, life_hours_q95)
values (%(device_id)s, %(failure_mode)s, %(made_at)s, %(model_id)s, %(p_fail_1d)s, %(p_fail_7d)s,
        %(p_fail_30d)s, %(life_hours_q05)s, %(life_hours_q10)s, %(life_hours_q50)s,
        %(life_hours_q90)s, %(life_hours_q95)s)
on conflict do nothing;

-- name: first_layer_said
-- Forecasts of the first layer alone, within the time that a contest judges.
select device_id, failure_mode, made_at, p_fail_1d, p_fail_7d, p_fail_30d,
       life_hours_q05, life_hours_q10, life_hours_q50, life_hours_q90, life_hours_q95
from anomaly.forecast
where device_id = any(%(device_ids)s) and made_at > %(from_at)s and model_id is null
  and status in ('ok', 'declining') and p_fail_30d is not null
order by device_id, made_at;

-- name: fresh_forecasts
-- What this very transaction has written, where a model may speak.
select id, device_id, failure_mode, made_at, status, evidence
from anomaly.forecast
where device_id = any(%(device_ids)s) and created_at = %(now)s and made_at > %(from_at)s
  and failure_mode = any(%(modes)s) and status in ('ok', 'declining')
order by device_id, made_at;

-- name: let_model_speak
update anomaly.forecast
set status = %(status)s, p_fail_1d = %(p_fail_1d)s, p_fail_7d = %(p_fail_7d)s,
    p_fail_30d = %(p_fail_30d)s, life_hours_q05 = %(life_hours_q05)s,
    life_hours_q10 = %(life_hours_q10)s, life_hours_q50 = %(life_hours_q50)s,
    life_hours_q90 = %(life_hours_q90)s, life_hours_q95 = %(life_hours_q95)s,
    evidence = %(evidence)s, model_id = %(model_id)s
where id = %(id)s;

-- name: product_devices
-- Every device of a product that has been scored.
select d.id, d.name
from gateway.device d
join anomaly.scorer_state c on c.device_id = d.id
where d.product_id = %(product_id)s
order by d.id;

-- name: life_memories
select device_id, model_id, at, life_hours, part
from anomaly.life_memory
where device_id = any(%(device_ids)s) and model_id = any(%(model_ids)s);

-- name: keep_life_memory
insert into anomaly.life_memory (device_id, model_id, at, life_hours, part)
values (%(device_id)s, %(model_id)s, %(at)s, %(life_hours)s, %(part)s)
on conflict (device_id, model_id) do update
set at = excluded.at, life_hours = excluded.life_hours, part = excluded.part;

-- name: forget_silent_memories
-- Of models that have no role, or whose failure mode the sheet no longer has.
delete from anomaly.life_memory k
using anomaly.model m
where m.id = k.model_id and m.product_id = %(product_id)s
  and (m.failure_mode <> all(%(modes)s::text[])
       or not exists (select from anomaly.model_role r where r.model_id = m.id));

-- name: forget_life_memory
-- What was scored anew changes what had been estimated from it.
delete from anomaly.life_memory where device_id = any(%(ids)s);
