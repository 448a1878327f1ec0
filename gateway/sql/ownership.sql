-- name: end_ownership
update gateway.ownership set ended_at = %(now)s where device_id = %(device_id)s and ended_at is null;

-- name: begin_ownership
insert into gateway.ownership (device_id, owner_id, how, actor, began_at)
values (%(device_id)s, %(owner_id)s, %(how)s, %(actor)s, %(now)s);
