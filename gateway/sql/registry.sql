-- name: lock_product
-- Two registrations of one product wait for each other; the lock ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('forecare product ' || %(name)s, 0));

-- name: find_product
select id, sheet, sheet_toml, revision from gateway.product where name = %(name)s;

-- name: upsert_manufacturer
-- The update that changes nothing makes `returning` answer for an existing row too.
insert into gateway.manufacturer (name) values (%(name)s)
on conflict (name) do update set name = excluded.name
returning id;

-- name: insert_product
insert into gateway.product (manufacturer_id, name, title, sheet, sheet_toml, created_at, updated_at)
values (%(manufacturer_id)s, %(name)s, %(title)s, %(sheet)s, %(sheet_toml)s, %(now)s, %(now)s)
returning id;

-- name: update_product
-- Other stages watch `revision`, so it counts changes of meaning, not of comments.
update gateway.product
set manufacturer_id = %(manufacturer_id)s, title = %(title)s, sheet = %(sheet)s,
    sheet_toml = %(sheet_toml)s, revision = %(revision)s, updated_at = %(now)s
where id = %(id)s;

-- name: create_hypertable
-- No index on time alone: every reader asks for a device, which the primary key answers.
select create_hypertable(%(relation)s::regclass, by_range('measured_at', %(chunk)s::interval),
                         create_default_indexes => false);

-- name: list_products
select p.id, p.name, p.title, m.name as manufacturer, p.revision,
       jsonb_array_length(p.sheet -> 'metrics') as metrics,
       jsonb_array_length(p.sheet -> 'failure_modes') as failure_modes,
       (select count(*) from gateway.device d where d.product_id = p.id) as devices,
       p.updated_at
from gateway.product p join gateway.manufacturer m on m.id = p.manufacturer_id
order by p.name;

-- name: product_toml
select sheet_toml from gateway.product where name = %(name)s;

-- name: product_id
select id, sheet from gateway.product where name = %(name)s;

-- name: products_of_devices
-- A sheet comes once for all of its devices, however many are born at once.
select p.sheet, array_agg(d.name)
from gateway.device d
join gateway.product p on p.id = d.product_id
where d.name = any(%(names)s)
group by p.id;

-- name: upsert_owner
-- An owner is known by the e-mail address; a later draft brings the newer name and phone.
insert into gateway.owner (name, email, phone, locale, timezone)
values (%(name)s, %(email)s, %(phone)s, %(locale)s, %(timezone)s)
on conflict (email) do update
set name = excluded.name, phone = excluded.phone, locale = excluded.locale, timezone = excluded.timezone
returning id;

-- name: insert_site
insert into gateway.site (owner_id, name, address, city, timezone, latitude, longitude, access_note)
values (%(owner_id)s, %(name)s, %(address)s, %(city)s, %(timezone)s, %(latitude)s, %(longitude)s,
        %(access_note)s)
returning id;

-- name: insert_device
insert into gateway.device (name, product_id, owner_id, site_id, serial, lot, firmware, shard,
                            delivered_at, warranty_until, created_at)
values (%(name)s, %(product_id)s, %(owner_id)s, %(site_id)s, %(serial)s, %(lot)s, %(firmware)s,
        %(shard)s, %(delivered_at)s, %(warranty_until)s, %(now)s)
returning id;

-- name: insert_credential
insert into gateway.credential (device_id, password_hash, created_at)
values (%(device_id)s, %(password_hash)s, %(now)s);

-- name: rotate_credential
-- Also lets a revoked device in again, and one that had no credential yet: a new secret is a new decision.
with given as (
    insert into gateway.credential (device_id, password_hash, created_at)
    select id, %(password_hash)s, %(now)s from gateway.device
    where name = %(name)s and retired_at is null
    on conflict (device_id) do update
    set password_hash = excluded.password_hash, created_at = excluded.created_at, revoked_at = null
    returning device_id
)
select d.shard from given join gateway.device d on d.id = given.device_id;

-- name: revoke_credential
-- A device that waits for its first contact is shut out, too: the row without a password says so.
insert into gateway.credential (device_id, password_hash, created_at, revoked_at)
select id, '', %(now)s, %(now)s from gateway.device where name = %(name)s
on conflict (device_id) do update set revoked_at = coalesce(credential.revoked_at, excluded.revoked_at)
returning device_id;

-- name: broker_users
select d.name, c.password_hash
from gateway.credential c join gateway.device d on d.id = c.device_id
where c.revoked_at is null and d.retired_at is null
order by d.name;

-- name: broker_state
-- Changes whenever the password file must: cheap to ask every few seconds.
select count(*), max(created_at), max(revoked_at), count(revoked_at) from gateway.credential;

-- name: list_devices
-- Connected is a fact of the session, reporting one of the samples: ingest keeps the latter.
select d.id, d.name, p.name as product, d.serial, d.lot, d.firmware, d.shard, o.email as owner_email,
       d.delivered_at, d.warranty_until, c.revoked_at, d.retired_at, s.is_connected,
       coalesce(g.samples, 0) as samples, g.measured_through, g.received_at,
       g.received_at + (p.sheet ->> 'silent_after')::interval as reporting_until
from gateway.device d
join gateway.product p on p.id = d.product_id
left join gateway.credential c on c.device_id = d.id
left join gateway.owner o on o.id = d.owner_id
left join gateway.presence s on s.device_id = d.id
left join ingest.progress g on g.device_id = d.id
where (%(product)s::text is null or p.name = %(product)s)
  and (%(name)s::text is null or d.name = %(name)s)
order by d.name
limit %(limit)s;

-- name: known_devices
-- Whatever a list of new devices could collide with.
select d.name, d.serial, p.name as product, d.lot, d.delivered_at, o.email as owner_email
from gateway.device d
join gateway.product p on p.id = d.product_id
left join gateway.owner o on o.id = d.owner_id
where d.name = any(%(names)s) or (p.name = %(product)s and d.serial = any(%(serials)s));
