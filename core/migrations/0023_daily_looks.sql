-- Groups of devices are looked at as everything else is, once a day: one table says how far.
alter table anomaly.daily_look drop constraint daily_look_job_check;
alter table anomaly.daily_look
    add constraint daily_look_job_check check (job in ('groups', 'rules', 'precedents', 'drift', 'retention'));
insert into anomaly.daily_look (product_id, job, looked_through, updated_at)
select product_id, 'groups', looked_through, updated_at from anomaly.fleet_look;
drop table anomaly.fleet_look;

-- When a part failed: found by a technician, before or after it broke, or reported by the device itself.
create view anomaly.failure as
select device_id, failure_mode, found_at as at from maintenance.finding
where verdict in ('confirmed', 'incipient')
union all
select device_id, failure_mode, at from anomaly.detection
where kind = 'reported_fault' and change = 'raised';
