-- name: add_account
-- An address has one account; a second attempt returns nothing and changes nothing.
insert into api.account (email, password_hash, role, owner_id, technician_id, created_at)
values (lower(%(email)s), %(password_hash)s, %(role)s, %(owner_id)s, %(technician_id)s, %(now)s)
on conflict (email) do nothing
returning id;

-- name: account_by_email
select id, email, password_hash, role, owner_id, technician_id, disabled_at
from api.account where email = lower(%(email)s);

-- name: account_by_id
select id, email, password_hash, role, owner_id, technician_id, disabled_at
from api.account where id = %(account_id)s;

-- name: accounts
select id, email, password_hash, role, owner_id, technician_id, disabled_at
from api.account order by role, email limit %(limit)s;

-- name: known_emails
-- Which of these addresses have an account already: their passwords need no hashing.
select email from api.account where email = any(%(emails)s);

-- name: owner_ids
select email, id from gateway.owner where email = any(%(emails)s);

-- name: technician_ids
select email, id from maintenance.technician where email = any(%(emails)s);

-- name: disable_account
update api.account set disabled_at = %(now)s
where email = lower(%(email)s) and disabled_at is null
returning id;

-- name: change_password
update api.account set password_hash = %(password_hash)s, disabled_at = null
where email = lower(%(email)s)
returning id;

-- name: add_session
insert into api.session (token_hash, account_id, csrf_token, created_at, expires_at)
values (%(token_hash)s, %(account_id)s, %(csrf_token)s, %(now)s, %(expires_at)s);

-- name: session
-- A disabled account's sessions end at once, without waiting for their expiry.
select a.id as account_id, a.email, a.role, a.owner_id, a.technician_id, s.csrf_token
from api.session s join api.account a on a.id = s.account_id
where s.token_hash = %(token_hash)s and s.expires_at > %(now)s and a.disabled_at is null;

-- name: end_session
delete from api.session where token_hash = %(token_hash)s;

-- name: end_sessions_of
delete from api.session where account_id = %(account_id)s;

-- name: end_old_sessions
-- Run at each sign-in, so that the table keeps only what can still be used.
delete from api.session where expires_at <= %(now)s;
