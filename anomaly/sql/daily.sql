-- name: daily_looks
-- Cheap, at every turn: which jobs have looked at which day?
select job, looked_through from anomaly.daily_look where product_id = %(product_id)s;

-- name: make_daily_look
-- The row that a look locks; another worker may have been first. Only where there is none: `on conflict`
-- would wait for a worker that is changing it.
insert into anomaly.daily_look (product_id, job, looked_through, updated_at)
select %(product_id)s, %(job)s, null, %(now)s
where not exists (
    select from anomaly.daily_look where product_id = %(product_id)s and job = %(job)s
)
on conflict do nothing;

-- name: claim_daily_look
-- One worker at a time looks at a product; the lock ends with the transaction that writes what it saw.
select looked_through from anomaly.daily_look
where product_id = %(product_id)s and job = %(job)s
for update skip locked;

-- name: lock_daily_look
-- A person changes by hand what a look would write, and waits for it.
select looked_through from anomaly.daily_look
where product_id = %(product_id)s and job = %(job)s
for update;

-- name: keep_daily_look
update anomaly.daily_look
set looked_through = %(through)s, updated_at = %(now)s
where product_id = %(product_id)s and job = %(job)s;
