-- Erasing an account. From `erasure_began_at` on it is anonymous and cannot sign in; at `erased_at`
-- its upcoming lessons were cancelled and all its personal data was deleted. It cannot be undone.
-- The row stays, because bookings refer to it.
alter table account
  add column erasure_began_at timestamptz,
  add column erased_at timestamptz,
  add constraint account_erased_is_anonymous check (
    erasure_began_at is null
    or (email::text = id || '@erased.invalid' and full_name like 'Former %'
        and password_hash = '' and verified_at is null)
  ),
  add constraint account_erasure_ends_after_its_begin check (
    erased_at is null or erasure_began_at is not null
  );
create index account_erased on account (erasure_began_at) where erasure_began_at is not null;
