-- What a model of remaining life keeps of a device between two forecasts, where earlier estimates count; written
-- with the forecasts. Without a row, or where the part has been replaced since, all estimates are made anew.
create table anomaly.life_memory (
    device_id bigint not null,
    model_id bigint not null references anomaly.model,
    at timestamptz not null,               -- instant of the newest estimate, event time
    life_hours double precision not null,  -- remaining life, as filtered up to then
    part integer not null,                 -- failures and replacements of the part that were known by then
    primary key (device_id, model_id)
);
