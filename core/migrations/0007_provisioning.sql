-- What the devices of a product show at their first contact to get a credential of their own. Several may
-- hold at once, so that devices that left the factory with the former one still get in.
create table gateway.product_key (
    key text primary key check (key ~ '^pk-[A-Za-z0-9_-]{8,60}$'),
    product_id bigint not null references gateway.product,
    secret_hash text not null,             -- SHA-256 of 192 random bits: nothing to guess
    allows text not null check (allows in ('new', 'known_serials')),
    created_at timestamptz not null,
    ends_at timestamptz                    -- void from then on
);
create index on gateway.product_key (product_id);

-- Devices that came by themselves. Who asks again for the same serial number must know the nonce.
create table gateway.first_contact (
    device_id bigint primary key references gateway.device,
    nonce_hash text not null,              -- SHA-256 of the secret that the device made for itself
    product_key text not null references gateway.product_key,
    first_at timestamptz not null,
    last_at timestamptz not null,
    answers integer not null default 1     -- credentials given so far
);

-- The code with which an owner takes a device: derived from the installation's key, the device and `turn`.
create table gateway.claim (
    device_id bigint primary key references gateway.device,
    turn integer not null,                 -- a new code voids the one before
    code_hash text not null unique,        -- SHA-256 of the code without its dashes
    made_at timestamptz not null,
    used_at timestamptz
);

-- Who owned which device when, wall time. Rows are added and ended, never changed otherwise.
create table gateway.ownership (
    id bigint generated always as identity primary key,
    device_id bigint not null references gateway.device,
    owner_id bigint not null references gateway.owner,
    how text not null check (how in ('registered', 'claimed', 'transferred')),
    actor text not null,
    began_at timestamptz not null,
    ended_at timestamptz
);
create unique index one_owner_at_a_time on gateway.ownership (device_id) where ended_at is null;
create index on gateway.ownership (owner_id);

insert into gateway.ownership (device_id, owner_id, how, actor, began_at)
select id, owner_id, 'registered', 'forecare', created_at from gateway.device where owner_id is not null;

-- From when on a device is its owner's, where somebody else owned it before: what is older may tell about
-- that person, and is not shown to this one.
create view api.handed_over as
select o.device_id, o.owner_id, o.began_at as since
from gateway.ownership o
where o.ended_at is null and exists (
    select from gateway.ownership b
    where b.device_id = o.device_id and b.owner_id <> o.owner_id and b.began_at <= o.began_at);
