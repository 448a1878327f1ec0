-- Which devices have changed in a way that whoever keeps them in memory must hear of: retired, renamed,
-- handed to another product or shard, or removed. Written by triggers, so that no way of changing a
-- device can forget it. A device that is new needs no line: whoever meets its name asks for it.
create table gateway.device_change (
    name text not null,                    -- as it was before
    shard smallint not null,
    changed_in xid8 not null default pg_current_xact_id(),
    primary key (name, shard)
);
-- Read as "everything that may have been committed since": no commit is overtaken, whatever its order.
create index on gateway.device_change (changed_in);

create function gateway.note_device_change() returns trigger language plpgsql as $$
begin
    insert into gateway.device_change (name, shard) values (old.name, old.shard)
    on conflict (name, shard) do update set changed_in = pg_current_xact_id();
    return null;
end
$$;

create trigger device_changed after update of name, product_id, shard, retired_at on gateway.device
for each row
when ((old.name, old.product_id, old.shard, old.retired_at)
      is distinct from (new.name, new.product_id, new.shard, new.retired_at))
execute function gateway.note_device_change();

create trigger device_removed after delete on gateway.device
for each row execute function gateway.note_device_change();
