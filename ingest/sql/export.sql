-- name: exported_devices
-- All that were ever delivered: a retired device's history is asked for as well.
select d.id, d.name
from gateway.device d
join gateway.product p on p.id = d.product_id
where p.name = %(product)s and (%(names)s::text[] is null or d.name = any(%(names)s))
order by d.name;

-- name: export_csv
-- One device at a time, in the order in which its rows lie: nothing is sorted, nothing is kept. The
-- time stamp is what RFC 3339 says, in UTC.
copy (
    select {device}, to_char({time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), {columns}
    from {relation}
    where device_id = {device_id} and {time} >= {begin} and {time} < {end} and ({any_value})
    order by {time}
) to stdout (format csv);

-- name: export_binary
-- Rows of fixed width: a missing number travels as NaN, which no stored value is.
copy (
    select {time}, {columns}
    from {relation}
    where device_id = {device_id} and {time} >= {begin} and {time} < {end} and ({any_value})
    order by {time}
) to stdout (format binary);
