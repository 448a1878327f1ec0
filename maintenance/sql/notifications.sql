-- name: queue_notification
-- One message per event, channel and address; no row means that it is queued already.
insert into maintenance.notification (event_key, ticket_id, owner_id, address, channel, subject,
    body_text, body_html, body_calendar, state, message_id, event_at, created_at)
values (%(event_key)s, %(ticket_id)s, %(owner_id)s, %(address)s, 'email', %(subject)s,
    %(body_text)s, %(body_html)s, %(body_calendar)s, 'queued', %(message_id)s, %(event_at)s, %(now)s)
on conflict (event_key, channel, address) do nothing
returning id

-- name: begin_attempt
-- Committed before the mail server is spoken to, so that a crash in between is counted too.
update maintenance.notification
set attempts = attempts + 1, last_attempt_at = %(now)s
where id = %(notification_id)s and state = 'queued'
returning event_key, ticket_id, address, subject, body_text, body_html, body_calendar, message_id,
          attempts, created_at

-- name: ticket_closed
select closed_at is not null from maintenance.ticket where id = %(ticket_id)s

-- name: end_attempt
update maintenance.notification
set state = %(state)s, state_reason = %(reason)s,
    sent_at = case when %(state)s = 'sent' then %(now)s::timestamptz end
where id = %(notification_id)s and state = 'queued'

-- name: orphaned_notifications
-- Queued rows that no job will ever send: their job failed for good, or its table was emptied.
select n.id from maintenance.notification as n
where n.state = 'queued' and not exists (
    select from procrastinate_jobs as job
    where job.task_name = %(task)s and job.status in ('todo', 'doing')
      and job.args ->> 'notification_id' = n.id::text
)
order by n.id
limit %(rows_max)s
