-- name: allowances
-- What was set by hand, for all subjects of a sort at once: there are few.
select subject_id, counts, allowances from ingest.allowance where subject = %(subject)s;

-- name: manufacturers
-- A manufacturer sends through all of its products; the most generous sheet counts.
select m.id, m.name, p.name as product from gateway.manufacturer m
join gateway.product p on p.manufacturer_id = m.id;

-- name: find_device
select id, product_id from gateway.device where name = %(name)s;

-- name: find_manufacturer
select id from gateway.manufacturer where name = %(name)s;

-- name: device_sheet
select p.sheet from gateway.device d join gateway.product p on p.id = d.product_id
where d.id = %(device_id)s;

-- name: manufacturer_sheets
select sheet from gateway.product where manufacturer_id = %(manufacturer_id)s order by id;

-- name: own_allowances
select counts, allowances from ingest.allowance
where subject = %(subject)s and subject_id = %(subject_id)s;

-- name: set_allowance
insert into ingest.allowance (subject, subject_id, counts, allowances, changed_at, changed_by)
values (%(subject)s, %(subject_id)s, %(counts)s, %(allowances)s, %(now)s, %(by)s)
on conflict (subject, subject_id, counts) do update
set allowances = excluded.allowances, changed_at = excluded.changed_at, changed_by = excluded.changed_by;

-- name: unset_allowance
delete from ingest.allowance
where subject = %(subject)s and subject_id = %(subject_id)s and counts = %(counts)s
returning subject_id;

-- name: continue_breach
-- An episode goes on while its sender keeps running into the same limit; a pause of ten minutes ends it.
update ingest.breach
set last_at = %(now)s, resets_at = %(resets_at)s, messages = messages + %(messages)s,
    metric_values = metric_values + %(metric_values)s, letters = letters + %(letters)s,
    unkept = unkept + %(unkept)s
where id = (
    select id from ingest.breach
    where subject = %(subject)s and subject_id = %(subject_id)s and counts = %(counts)s
      and resets_at > %(now)s - interval '10 minutes'
    order by began_at desc limit 1)
returning id;

-- name: begin_breach
insert into ingest.breach (subject, subject_id, counts, allowed, began_at, last_at, resets_at, messages,
                           metric_values, letters, unkept)
values (%(subject)s, %(subject_id)s, %(counts)s, %(allowed)s, %(now)s, %(now)s, %(resets_at)s,
        %(messages)s, %(metric_values)s, %(letters)s, %(unkept)s);

-- name: letters_kept
-- What is kept of one device because of a limit has a bound a day.
select count(*) from ingest.dead_letter
where device_name = %(device_name)s and received_at > %(now)s - interval '1 day'
  and reason = 'over_limit';

-- name: breaches
select b.id, b.subject, coalesce(d.name, m.name) as name, b.counts, b.allowed, b.began_at, b.last_at,
       b.resets_at, b.messages, b.metric_values, b.letters, b.unkept
from ingest.breach b
left join gateway.device d on b.subject = 'device' and d.id = b.subject_id
left join gateway.manufacturer m on b.subject = 'manufacturer' and m.id = b.subject_id
where (%(device)s::text is null or d.name = %(device)s)
order by b.id desc
limit %(limit)s;
