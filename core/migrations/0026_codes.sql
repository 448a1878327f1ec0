-- Codes that devices report are looked up by device, years back, and most samples have none. Tables of products that
-- are registered from now on get this index with their columns (gateway.store.index_codes).
do $$
declare
    code record;
begin
    for code in
        select p.name as product, m ->> 'name' as metric
        from gateway.product p
        cross join lateral jsonb_array_elements(p.sheet -> 'metrics') m
        where m ->> 'kind' = 'code' and to_regclass(format('telemetry.%I', p.name)) is not null
    loop
        execute format('create index on telemetry.%I (device_id, measured_at) where %I <> 0', code.product, code.metric);
    end loop;
end $$;
