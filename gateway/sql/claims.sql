-- name: claim_state
-- Locks the device: two people who claim it, or a claim and a hand-over, come one after the other.
select d.id as device_id, d.name, d.serial, p.title as product_title, d.owner_id, d.retired_at is not null as is_retired,
       c.turn, c.code_hash, c.used_at
from gateway.device d
join gateway.product p on p.id = d.product_id
left join gateway.claim c on c.device_id = d.id
where (%(name)s::text is null or d.name = %(name)s)
  and (%(code_hash)s::text is null or c.code_hash = %(code_hash)s)
  and (%(name)s::text is not null or %(code_hash)s::text is not null)
for update of d;

-- name: put_claim
insert into gateway.claim (device_id, turn, code_hash, made_at)
values (%(device_id)s, %(turn)s, %(code_hash)s, %(now)s)
on conflict (device_id) do update
set turn = excluded.turn, code_hash = excluded.code_hash, made_at = excluded.made_at, used_at = null;

-- name: use_claim
update gateway.claim set used_at = %(now)s where device_id = %(device_id)s;

-- name: give_device
-- The site goes with the former owner: it is that person's address.
update gateway.device set owner_id = %(owner_id)s, site_id = %(site_id)s where id = %(device_id)s;

-- name: note_former_owner
-- A device that was given to somebody in a way that kept no history has one from now on.
insert into gateway.ownership (device_id, owner_id, how, actor, began_at)
select d.id, d.owner_id, 'registered', 'forecare', d.created_at from gateway.device d
where d.id = %(device_id)s and d.owner_id is not null
  and not exists (select from gateway.ownership o where o.device_id = d.id and o.ended_at is null);

-- name: had_owner
select exists (select from gateway.ownership where device_id = %(device_id)s);

-- name: owner_of_email
select id from gateway.owner where email = %(email)s;

-- name: ownerships
select o.how, o.actor, o.began_at, o.ended_at, w.name as owner, w.email
from gateway.ownership o
join gateway.owner w on w.id = o.owner_id
join gateway.device d on d.id = o.device_id
where d.name = %(name)s
order by o.began_at, o.id;
