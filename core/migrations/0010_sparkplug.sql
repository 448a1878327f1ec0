-- Which devices a Sparkplug edge node speaks for, besides itself. Without a row nobody speaks for a device.
create table gateway.speaks_for (
    device_id bigint primary key references gateway.device,   -- one node at most
    node_id bigint not null references gateway.device,
    created_at timestamptz not null,
    check (device_id <> node_id)
);
create index on gateway.speaks_for (node_id);

-- What Sparkplug edge nodes have declared: written with the samples of the same messages, so that ingest
-- goes on after a restart without asking every node to be born again.
create table ingest.sparkplug_node (
    node text primary key,                 -- the device's name
    group_id text not null,
    boot bigint not null,                  -- births so far: the number of its session
    bd_seq bigint,                         -- ties a death to its birth
    born_ms bigint,
    newest_ms bigint,                      -- newest time stamp of its messages
    next_seq smallint not null,
    is_alive boolean not null,
    is_stale boolean not null,             -- a message is missing, and it may have been a birth
    births bytea not null                  -- per device: names, aliases, types (gateway.sparkplug.session)
);
