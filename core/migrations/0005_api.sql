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

-- Views that only api/ reads: how the rows of all stages look from outside.

-- How far the stream of each product has come, in event time.
create view api.stream_newest as
select d.product_id, max(g.measured_through) as measured_through
from gateway.device d join ingest.progress g on g.device_id = d.id
where d.retired_at is null
group by d.product_id;

-- One row per device: what it is, whose, where, and how far its data has come. `event_now` is the
-- device's own "today". Whether it is *reporting* also depends on the wall time: see `fresh_until`.
create view api.device_now as
select d.id, d.name, d.product_id, p.name as product, p.title as product_title, p.sheet, d.serial, d.lot,
    coalesce(nullif(r.firmware, ''), d.firmware) as firmware, d.owner_id, coalesce(o.name, '') as owner,
    coalesce(o.phone, '') as owner_phone, coalesce(s.name, '') as site, coalesce(s.address, '') as address,
    coalesce(s.city, '') as city, coalesce(s.timezone, o.timezone, 'UTC') as timezone,
    coalesce(s.access_note, '') as access_note, d.delivered_at, d.warranty_until, d.created_at,
    coalesce(r.is_connected, false) as is_connected, r.updated_at as connection_changed_at,
    g.first_measured_at, g.measured_through, g.received_at, coalesce(g.samples, 0) as samples,
    c.scored_through, q.decided_through, greatest(q.decided_through, g.measured_through) as event_now,
    case when g.measured_through >= n.measured_through - (p.sheet ->> 'late_after')::interval
        then g.received_at + (p.sheet ->> 'silent_after')::interval end as fresh_until
from gateway.device d
join gateway.product p on p.id = d.product_id
left join gateway.owner o on o.id = d.owner_id
left join gateway.site s on s.id = d.site_id
left join gateway.presence r on r.device_id = d.id
left join ingest.progress g on g.device_id = d.id
left join anomaly.scorer_state c on c.device_id = d.id
left join maintenance.decision_progress q on q.device_id = d.id
left join api.stream_newest n on n.product_id = d.product_id
where d.retired_at is null;

-- One row per device and failure mode: the newest forecast and what has come of it.
create view api.part as
select d.id as device_id, mode ->> 'name' as failure_mode, mode ->> 'title' as title,
    mode ->> 'component' as component, (mode ->> 'cost_of_failure')::float as cost_of_failure,
    (position - 1)::integer as position, f.id as forecast_id, f.made_at, f.status, f.health_index, f.p_fail_1d, f.p_fail_7d,
    f.p_fail_30d, f.life_hours_q10, f.life_hours_q50, f.life_hours_q90, f.evidence,
    a.level as alert_level, a.opened_at as alert_opened_at, t.id as ticket_id, t.number as ticket_number,
    t.state as ticket_state, t.kind as ticket_kind, t.fails_from, t.fails_until,
    lower(b.during) as visit_starts_at, upper(b.during) as visit_ends_at,
    coalesce(a.level, case f.status when 'failed' then 'act' when 'declining' then 'watch'
        when 'ok' then 'ok' else 'none' end) as level
from gateway.device d
join gateway.product p on p.id = d.product_id
cross join lateral jsonb_array_elements(p.sheet -> 'failure_modes') with ordinality as m (mode, position)
left join lateral (
    select * from anomaly.forecast f
    where f.device_id = d.id and f.failure_mode = mode ->> 'name'
    order by f.made_at desc limit 1
) f on true
left join maintenance.alert a
    on a.device_id = d.id and a.failure_mode = mode ->> 'name' and a.cleared_at is null
left join maintenance.ticket t
    on t.device_id = d.id and t.failure_mode = mode ->> 'name' and t.closed_at is null
left join maintenance.work_order w on w.ticket_id = t.id
left join maintenance.appointment b on b.work_order_id = w.id and b.state = 'confirmed'
where d.retired_at is null;
