-- Tables written by maintenance/ alone.
create schema maintenance;
create extension if not exists btree_gist;

create table maintenance.technician (
    id bigint generated always as identity primary key,
    name text not null,
    email text not null unique,
    phone text not null default '',
    skills text[] not null default '{}',
    timezone text not null default 'UTC',
    latitude double precision,
    longitude double precision
);

-- How far the forecasts of a device have been decided, in event time.
create table maintenance.decision_progress (
    device_id bigint primary key,
    decided_through timestamptz not null,
    streaks jsonb not null default '{}'    -- failure mode -> maintenance.decide.Streak; exact restart
);

-- One row per decision that changed something or was about to: the answer to "why?" and "why not?".
create table maintenance.decision (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    failure_mode text not null,
    forecast_id bigint not null,
    decided_at timestamptz not null,       -- event time
    action text not null,                  -- maintenance.decide.Action: open, join, hold, clear, none
    reason text not null,                  -- maintenance.decide.Reason, shown to people
    cost_of_waiting real,
    cost_of_acting real,
    created_at timestamptz not null,
    unique (device_id, failure_mode, decided_at)
);

-- One episode of one failure mode of one device.
create table maintenance.alert (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    failure_mode text not null,
    opened_at timestamptz not null,        -- event time
    cleared_at timestamptz,
    acknowledged_at timestamptz,           -- wall time
    acknowledged_by text,
    level text not null check (level in ('watch', 'plan', 'act')),
    updated_at timestamptz not null
);
create unique index one_open_alert on maintenance.alert (device_id, failure_mode) where cleared_at is null;

-- The owner-facing case that an alert opens.
create table maintenance.ticket (
    id bigint generated always as identity primary key,
    number text generated always as ('T-' || lpad(id::text, greatest(5, length(id::text)), '0')) stored,
    alert_id bigint not null references maintenance.alert,
    device_id bigint not null,
    failure_mode text not null,
    component text not null,
    kind text not null check (kind in ('preventive', 'corrective')),
    state text not null check (state in ('open', 'scheduled', 'in_service', 'resolved', 'cancelled')),
    level text not null check (level in ('watch', 'plan', 'act')),
    reason text not null,                  -- why it was opened
    title text not null,
    evidence jsonb not null,               -- snapshot of the forecast that opened it, and its sentences
    opened_at timestamptz not null,        -- event time
    due_at timestamptz not null,           -- event time, from a low quantile of remaining life
    fails_from timestamptz,                -- window of the expected failure (10 to 90 %), event time
    fails_until timestamptz,
    closed_at timestamptz,                 -- event time
    close_reason text,
    created_at timestamptz not null        -- wall time
);
create unique index one_open_ticket on maintenance.ticket (device_id, failure_mode) where closed_at is null;
create index on maintenance.ticket (device_id);

create table maintenance.work_order (
    id bigint generated always as identity primary key,
    number text generated always as ('W-' || lpad(id::text, greatest(5, length(id::text)), '0')) stored,
    ticket_id bigint not null unique references maintenance.ticket,
    device_id bigint not null,
    title text not null,
    state text not null check (state in ('ready', 'scheduled', 'in_progress', 'done', 'cancelled')),
    kit jsonb not null,
    skills text[] not null,
    checklist jsonb not null,
    duration interval not null,
    due_at timestamptz not null,
    started_at timestamptz,
    done_at timestamptz,
    created_at timestamptz not null
);

create table maintenance.appointment (
    id bigint generated always as identity primary key,
    work_order_id bigint not null references maintenance.work_order,
    technician_id bigint not null references maintenance.technician,
    during tstzrange not null,             -- event time line of the device, which is wall time when live
    state text not null check (state in ('confirmed', 'done', 'cancelled')),
    booked_by text not null,
    created_at timestamptz not null,
    exclude using gist (technician_id with =, during with &&) where (state = 'confirmed')
);
create unique index one_live_appointment on maintenance.appointment (work_order_id) where state <> 'cancelled';

create table maintenance.finding (
    id bigint generated always as identity primary key,
    work_order_id bigint not null unique references maintenance.work_order,
    device_id bigint not null,
    failure_mode text not null,
    component text not null,
    verdict text not null check (verdict in ('confirmed', 'incipient', 'other_fault', 'no_fault_found', 'not_inspected')),
    note text not null default '',
    parts jsonb not null default '[]',
    checklist_done jsonb not null default '[]',
    found_at timestamptz not null,         -- event time
    recorded_by text not null,
    created_at timestamptz not null
);

-- Append-only: every change of an alert, ticket, work order or appointment, with actor and reason.
create table maintenance.history (
    id bigint generated always as identity primary key,
    device_id bigint not null,
    ticket_id bigint references maintenance.ticket,
    at timestamptz not null,               -- event time
    actor text not null,                   -- 'forecare', 'owner:3', 'technician:1', 'link:…'
    action text not null,
    reason text not null default '',
    detail jsonb not null default '{}',
    created_at timestamptz not null
);
create index on maintenance.history (ticket_id);
create index on maintenance.history (device_id, at desc);

-- One message to one person over one channel. At least once; `message_id` is stable over repeats.
create table maintenance.notification (
    id bigint generated always as identity primary key,
    event_key text not null,               -- e.g. ticket:12:opened
    ticket_id bigint references maintenance.ticket,
    owner_id bigint,
    address text not null,
    channel text not null check (channel in ('email')),
    subject text not null,
    body_text text not null,
    body_html text not null,
    body_calendar text,                    -- iCalendar of the visit; null: no visit in this message
    state text not null check (state in ('queued', 'sent', 'failed', 'suppressed')),
    state_reason text not null default '',
    message_id text not null unique,
    attempts integer not null default 0,
    event_at timestamptz not null,         -- event time
    created_at timestamptz not null,
    last_attempt_at timestamptz,
    sent_at timestamptz,
    unique (event_key, channel, address)
);
create index on maintenance.notification (ticket_id);
create index on maintenance.notification (id) where state = 'queued';
create index on maintenance.ticket (alert_id);
create index on maintenance.appointment (technician_id);
