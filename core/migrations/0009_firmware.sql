-- Firmware images and the campaigns that bring them to devices. Written by gateway/ alone.

-- An image that a manufacturer has signed. A version never changes: devices that have it must mean the same.
create table gateway.firmware (
    id bigint generated always as identity primary key,
    product_id bigint not null references gateway.product,
    version text not null check (length(version) between 1 and 64),
    size_bytes integer not null check (size_bytes between 1 and 67108864),
    chunk_bytes integer not null check (chunk_bytes between 256 and 32768),
    sha256 bytea not null check (octet_length(sha256) = 32),
    signature bytea not null check (octet_length(signature) = 64),   -- Ed25519, checked when it was added
    public_key bytea not null check (octet_length(public_key) = 32), -- with this key
    notes text not null default '',
    created_at timestamptz not null,
    created_by text not null,
    unique (product_id, version)
);

-- The image in the pieces in which devices fetch it, so that one piece is one small read.
create table gateway.firmware_chunk (
    firmware_id bigint not null references gateway.firmware,
    chunk integer not null check (chunk >= 0),
    data bytea not null,
    primary key (firmware_id, chunk)
);
alter table gateway.firmware_chunk alter column data set storage external;   -- images do not compress twice

-- Which version a device has run since when, as its birth messages say.
create table gateway.device_firmware (
    device_id bigint not null references gateway.device,
    version text not null,
    boot bigint not null,                  -- of the birth that showed it first
    since timestamptz not null,            -- wall time
    runs_since timestamptz,                -- event time; null: it had sent no sample yet
    primary key (device_id, since)
);

create table gateway.campaign (
    id bigint generated always as identity primary key,
    product_id bigint not null references gateway.product,
    firmware_id bigint not null references gateway.firmware,
    title text not null,
    from_versions text[] not null,         -- empty: any version but the new one
    lots text[] not null,                  -- empty: any lot
    stages double precision[] not null,    -- shares of the devices, rising, the last one is 1
    per_hour integer not null check (per_hour > 0),        -- devices that begin, wall time
    hold interval not null,                -- shortest length of a stage, wall time
    watch interval not null,               -- data per updated device before the next stage, event time
    offers_max smallint not null check (offers_max > 0),   -- how often one device is offered it
    install_within interval not null,      -- from downloaded to the first sign of installing, wall time
    tolerated_failures double precision not null check (tolerated_failures > 0 and tolerated_failures < 1),
    false_stops double precision not null check (false_stops > 0 and false_stops < 1),
    stop_from_e double precision not null default 0,       -- raised by a person who goes on in spite of a stop
    state text not null check (state in ('draft', 'running', 'paused', 'stopped', 'done', 'cancelled')),
    reason text not null default '',       -- why it stands where it stands, for people
    stage smallint not null default 0,     -- the stage under way, from 0
    stage_since timestamptz,               -- wall time
    tokens double precision not null default 0,            -- token bucket of per_hour
    tokens_at timestamptz,
    event_from timestamptz,                -- where the comparison of versions begins, event time
    verdict jsonb,                         -- gateway.campaign.judge.Verdict: the newest look at the numbers
    looked_at timestamptz,
    created_at timestamptz not null,
    created_by text not null,
    started_at timestamptz,
    ended_at timestamptz
);

-- One device of a campaign. The state is gateway.campaign.member.State.
create table gateway.campaign_device (
    campaign_id bigint not null references gateway.campaign,
    device_id bigint not null references gateway.device,
    stage smallint not null,
    state text not null check (state in ('waiting', 'offered', 'downloading', 'downloaded', 'verified', 'installing',
        'installed', 'failed', 'rolled_back', 'skipped')),
    reason text not null default '',
    from_version text not null,
    offers smallint not null default 0,
    chunk integer not null default 0,      -- pieces that it holds already
    boot bigint,                           -- start of the device that was told of the offer
    since timestamptz not null,            -- of the state, wall time
    due_at timestamptz,                    -- when something is to be done about it; null: at its next birth
    is_withdrawn boolean not null default false,   -- the withdrawal is still to be sent
    runs_since timestamptz,                -- when it began to run the new version, event time
    primary key (campaign_id, device_id)
);
-- One campaign at a time works on a device.
create unique index campaign_device_busy on gateway.campaign_device (device_id)
    where state in ('offered', 'downloading', 'downloaded', 'verified', 'installing');
create index on gateway.campaign_device (device_id);
create index on gateway.campaign_device (due_at)
    where state in ('offered', 'downloading', 'downloaded', 'verified', 'installing');
create index on gateway.campaign_device (campaign_id, state, stage);
create index on gateway.campaign_device (campaign_id) where is_withdrawn;

-- What happened to a campaign, who did it and why. Never changed.
create table gateway.campaign_event (
    id bigint generated always as identity primary key,
    campaign_id bigint not null references gateway.campaign,
    at timestamptz not null,
    actor text not null,
    action text not null,
    reason text not null default ''
);
create index on gateway.campaign_event (campaign_id, id);
