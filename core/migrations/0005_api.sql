-- Tables written by api/ alone.
create schema api;

create table api.account (
    id bigint generated always as identity primary key,
    email text not null unique,
    password_hash text not null,           -- argon2id
    role text not null check (role in ('owner', 'technician', 'manufacturer')),
    owner_id bigint,
    technician_id bigint,
    disabled_at timestamptz,
    created_at timestamptz not null,
    check ((role = 'owner') = (owner_id is not null)),
    check ((role = 'technician') = (technician_id is not null))
);

create table api.session (
    token_hash text primary key,           -- sha256; the token itself lives in the browser alone
    account_id bigint not null references api.account on delete cascade,
    csrf_token text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index on api.session (account_id);
