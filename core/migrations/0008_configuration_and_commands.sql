-- What every device of a product shall have. Both layers lie below what is set for one device.
create table gateway.product_configuration (
    product_id bigint primary key references gateway.product,
    version bigint not null default 0,      -- counts changes of either layer
    defaults jsonb not null default '{}',   -- of the product sheet
    desired jsonb not null default '{}',    -- set for the product, goes over the sheet's
    updated_at timestamptz not null
);

-- Desired and reported configuration of one device. The document that it is sent is the sheet's
-- defaults, what was set for the product, and `own`, each merged over the one before.
create table gateway.twin (
    device_id bigint primary key references gateway.device,
    version bigint not null default 0,           -- of the document that it is to have; counts every change of any layer
    own jsonb not null default '{}',             -- what was set for this device alone
    reported jsonb not null default '{}',        -- what it says it has
    reported_version bigint not null default 0,  -- the version that it says it has applied
    reported_at timestamptz,
    differs_at timestamptz,                      -- since when the device has something else than it is to have
    send_after timestamptz,                      -- null: nothing to send until its next birth
    sent_at timestamptz,
    tries integer not null default 0             -- since the last change or birth
);
create index on gateway.twin (send_after) where send_after is not null;

-- Who changed what when. Rows are only ever added.
create table gateway.configuration_change (
    id bigint generated always as identity primary key,
    product_id bigint not null references gateway.product,
    device_id bigint references gateway.device,  -- null: for the whole product
    version bigint not null,                     -- that it led to
    patch jsonb not null,                        -- merged into the layer; null takes a key away
    actor text not null,
    changed_at timestamptz not null
);
create index on gateway.configuration_change (device_id, id);
create index on gateway.configuration_change (product_id, id) where device_id is null;

-- What a device is told to do once. gateway/device_commands/life_cycle.py says which state follows which.
create table gateway.device_command (
    id text primary key check (id ~ '^c-[A-Za-z0-9_-]{8,62}$'),
    device_id bigint not null references gateway.device,
    name text not null,
    args jsonb not null default '{}',
    state text not null default 'queued'
        check (state in ('queued', 'sent', 'acknowledged', 'done', 'failed', 'expired', 'cancelled')),
    reason text not null default '',       -- why it ended as it did, in words
    result jsonb,                          -- what the device answered
    late_answer jsonb,                     -- what it answered when all was over; moves nothing
    actor text not null,
    created_at timestamptz not null,
    deadline_at timestamptz not null,
    sent_at timestamptz,
    acknowledged_at timestamptz,
    ended_at timestamptz,
    send_after timestamptz,                -- null: nothing to send until the device's next birth
    tries integer not null default 0,
    check ((state in ('done', 'failed', 'expired', 'cancelled')) = (ended_at is not null))
);
create index on gateway.device_command (device_id, created_at);
create index on gateway.device_command (send_after) where send_after is not null;
create index on gateway.device_command (deadline_at) where ended_at is null;
