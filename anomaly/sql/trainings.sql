-- name: claim_training
-- One training of a product at a time. The lock belongs to the session: it ends with the process.
select pg_try_advisory_lock(hashtextextended('anomaly.training.run', %(product_id)s));

-- name: training_is_free
-- Does any process train this product now? The lock ends with the transaction.
select pg_try_advisory_xact_lock(hashtextextended('anomaly.training.run', %(product_id)s));

-- name: bury_trainings
-- By whoever holds the lock: others that are said to run have died.
update anomaly.training set state = 'died', outcome = %(outcome)s
where product_id = %(product_id)s and state = 'running';

-- name: begin_training
insert into anomaly.training (product_id, reason, state, through, failures, began_at, updated_at)
values (%(product_id)s, %(reason)s, 'running', %(through)s, %(failures)s, %(now)s, %(now)s)
returning id;

-- name: step_training
update anomaly.training set step = %(step)s, share = %(share)s, updated_at = %(now)s where id = %(id)s;

-- name: end_training
update anomaly.training
set state = %(state)s, outcome = %(outcome)s, updated_at = %(now)s,
    share = case when %(state)s = 'done' then 1 else share end
where id = %(id)s;

-- name: trainings
-- The newest first.
select id, reason, state, through, failures, step, share, outcome, began_at, updated_at
from anomaly.training
where product_id = %(product_id)s
order by id desc
limit %(limit)s;

-- name: known_failures
-- At least so many failures of each mode are known: found by a technician or reported by the device; most
-- are both, so the larger number stands.
select failure_mode, max(number)
from (
    select f.failure_mode, count(*) as number
    from maintenance.finding f join gateway.device d on d.id = f.device_id
    where d.product_id = %(product_id)s and f.verdict in ('confirmed', 'incipient')
    group by f.failure_mode
    union all
    select x.failure_mode, count(*) as number
    from anomaly.detection x join gateway.device d on d.id = x.device_id
    where d.product_id = %(product_id)s and x.kind = 'reported_fault' and x.change = 'raised'
    group by x.failure_mode
) known
group by failure_mode;
