-- The services on a subject in the order of their price, for the similar instructors of a profile.
create index service_by_price on service (catalog_service, hourly_rate_cents, id) where is_active;
