-- One more daily look: which windows are older than any product keeps them.
alter table anomaly.daily_look drop constraint daily_look_job_check;
alter table anomaly.daily_look
    add constraint daily_look_job_check check (job in ('rules', 'precedents', 'drift', 'retention'));
