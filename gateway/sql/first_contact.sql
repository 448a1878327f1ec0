-- name: add_product_key
insert into gateway.product_key (key, product_id, secret_hash, allows, created_at)
select %(key)s, p.id, %(secret_hash)s, %(allows)s, %(now)s from gateway.product p where p.name = %(product)s
returning key;

-- name: end_product_keys
-- A key that ends sooner than that keeps its end.
update gateway.product_key k set ends_at = least(k.ends_at, %(ends_at)s)
from gateway.product p
where p.id = k.product_id and p.name = %(product)s and (k.ends_at is null or k.ends_at > %(now)s)
returning k.key;

-- name: product_keys
select k.key, p.name as product, k.allows, k.created_at, k.ends_at,
       (select count(*) from gateway.first_contact f where f.product_key = k.key) as devices
from gateway.product_key k join gateway.product p on p.id = k.product_id
where p.name = %(product)s
order by k.created_at;

-- name: product_key
select k.key, p.name as product, p.id as product_id, k.secret_hash, k.allows, k.ends_at
from gateway.product_key k join gateway.product p on p.id = k.product_id
where k.key = %(key)s;

-- name: lock_serial
-- Two requests for one serial number wait for each other; the lock ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('forecare first contact ' || %(product_id)s || ' ' || %(serial)s, 0));

-- name: device_of_serial
select d.id, d.name, c.device_id is not null as has_credential,
       d.retired_at is not null or c.revoked_at is not null as is_shut_out, f.nonce_hash
from gateway.device d
left join gateway.credential c on c.device_id = d.id
left join gateway.first_contact f on f.device_id = d.id
where d.product_id = %(product_id)s and d.serial = %(serial)s;

-- name: put_credential
insert into gateway.credential (device_id, password_hash, created_at)
values (%(device_id)s, %(password_hash)s, %(now)s)
on conflict (device_id) do update
set password_hash = excluded.password_hash, created_at = excluded.created_at;

-- name: put_first_contact
insert into gateway.first_contact (device_id, nonce_hash, product_key, first_at, last_at)
values (%(device_id)s, %(nonce_hash)s, %(key)s, %(now)s, %(now)s)
on conflict (device_id) do update
set last_at = excluded.last_at, product_key = excluded.product_key, answers = first_contact.answers + 1;

-- name: forget_first_contact
delete from gateway.first_contact f using gateway.device d where d.id = f.device_id and d.name = %(name)s;

-- name: drop_credential
-- Without a credential the serial number may come for a new one.
delete from gateway.credential c using gateway.device d where d.id = c.device_id and d.name = %(name)s;
