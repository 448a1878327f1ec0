-- name: insert_firmware
-- A version is written once; a second attempt finds it and compares.
insert into gateway.firmware (product_id, version, size_bytes, chunk_bytes, sha256, signature, public_key,
                              notes, created_at, created_by)
values (%(product_id)s, %(version)s, %(size_bytes)s, %(chunk_bytes)s, %(sha256)s, %(signature)s,
        %(public_key)s, %(notes)s, %(now)s, %(by)s)
on conflict (product_id, version) do nothing
returning id;

-- name: insert_firmware_chunk
insert into gateway.firmware_chunk (firmware_id, chunk, data)
values (%(firmware_id)s, %(chunk)s, %(data)s);

-- name: list_firmware
select f.id, p.name as product, f.version, f.size_bytes, f.chunk_bytes, f.sha256, f.signature, f.public_key,
       f.notes, f.created_at, f.created_by
from gateway.firmware f join gateway.product p on p.id = f.product_id
where (%(product)s::text is null or p.name = %(product)s)
  and (%(version)s::text is null or f.version = %(version)s)
  and (%(id)s::bigint is null or f.id = %(id)s)
order by p.name, f.id desc
limit %(limit)s;

-- name: newest_firmware_key
-- Devices trust the key of what they run; another one is a mistake more often than a plan.
select f.public_key, f.version
from gateway.firmware f
where f.product_id = %(product_id)s
order by f.id desc
limit 1;

-- name: firmware_chunks
select chunk, data from gateway.firmware_chunk
where firmware_id = %(firmware_id)s and chunk >= %(first)s and chunk < %(first)s + %(count)s
order by chunk;

-- name: device_versions
-- Newest first.
select f.version, f.boot, f.since, f.runs_since
from gateway.device_firmware f join gateway.device d on d.id = f.device_id
where d.name = %(name)s
order by f.since desc
limit %(limit)s;

-- name: versions_in_use
-- How many devices of a product run which version.
select d.firmware as version, count(*) as devices
from gateway.device d join gateway.product p on p.id = d.product_id
where p.name = %(product)s and d.retired_at is null
group by d.firmware
order by count(*) desc, d.firmware;
