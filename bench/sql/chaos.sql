-- name: chaos_devices
select id, name from gateway.device order by id;

-- name: chaos_rows
-- As whole numbers: that is how the devices have made them, and how they are compared.
select device_id, number::bigint, coalesce(level, -1)::bigint,
       (extract(epoch from measured_at) * 1000)::bigint
from telemetry.chaos;

-- name: chaos_letters
select device_name, digest, reason, times from ingest.dead_letter;

-- name: chaos_repeats
-- Rows that were handed to storage although they stood there already, and letters that came again.
select (select coalesce(sum(samples), 0) from ingest.progress) - (select count(*) from telemetry.chaos),
       (select coalesce(sum(times - 1), 0) from ingest.dead_letter);
