-- Tables written by gateway/ alone.
create schema gateway;
create schema telemetry;   -- one wide hypertable per product; made by gateway, rows written by ingest alone

create table gateway.manufacturer (
    id bigint generated always as identity primary key,
    name text not null unique
);

create table gateway.product (
    id bigint generated always as identity primary key,
    manufacturer_id bigint not null references gateway.manufacturer,
    name text not null unique check (name ~ '^[a-z][a-z0-9_]{0,47}$'),
    title text not null,
    sheet jsonb not null,              -- core.product.Product, read back with product_from_json
    sheet_toml text not null,          -- as the manufacturer wrote it
    revision integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table gateway.owner (
    id bigint generated always as identity primary key,
    name text not null,
    email text not null unique,
    phone text not null default '',
    locale text not null default 'en',
    timezone text not null default 'UTC'
);

create table gateway.site (
    id bigint generated always as identity primary key,
    owner_id bigint references gateway.owner,
    name text not null default '',
    address text not null default '',
    city text not null default '',
    timezone text not null default 'UTC',
    latitude double precision,
    longitude double precision,
    access_note text not null default ''
);

create table gateway.device (
    id bigint generated always as identity primary key,
    name text not null unique check (name ~ '^[A-Za-z0-9_-]{1,64}$'),  -- = MQTT user name = client id
    product_id bigint not null references gateway.product,
    owner_id bigint references gateway.owner,
    site_id bigint references gateway.site,
    serial text not null,
    lot text not null default '',
    firmware text not null default '',
    shard smallint not null check (shard between 0 and 255),
    delivered_at timestamptz,
    warranty_until timestamptz,
    created_at timestamptz not null,
    retired_at timestamptz,
    unique (product_id, serial)
);
create index on gateway.device (owner_id);

create table gateway.credential (
    device_id bigint primary key references gateway.device,
    password_hash text not null,       -- Mosquitto's PBKDF2 form; the secret itself is shown once and kept nowhere
    created_at timestamptz not null,
    revoked_at timestamptz
);

-- What the session says: connected or not. Whether a device is *reporting* follows from
-- ingest.progress.received_at; the two are different facts and kept apart.
create table gateway.presence (
    device_id bigint primary key references gateway.device,
    boot bigint not null,
    is_connected boolean not null,
    firmware text not null default '',
    connected_at timestamptz,
    disconnected_at timestamptz,
    updated_at timestamptz not null
);
