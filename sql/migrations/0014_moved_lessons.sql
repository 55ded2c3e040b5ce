-- Moving a lesson: the rest of the terms it was booked on, and what undoing the last move restores.
alter table booking
  add column hourly_rate_cents cents,
  add column free_cancel_hours free_cancel_hours,
  add column moved_at timestamptz,
  add column moved_from bounded_range,
  add column moved_free_cancel_until timestamptz;

-- The price was computed from the rate; of two rates with this price, the service's own if it is
-- one of them. The policy follows from the end of free cancellation, except within the five minutes
-- after booking.
update booking b
set hourly_rate_cents = case
      when (s.hourly_rate_cents * terms.minutes + 30) / 60 = b.price_cents then s.hourly_rate_cents
      else round(b.price_cents * 60.0 / terms.minutes) end,
    free_cancel_hours = case
      when terms.hours in (select generate_series(1, 48)) then terms.hours
      else c.free_cancel_hours end
from service s, calendar c, booking x,
     lateral (
       select (extract(epoch from upper(x.during) - lower(x.during)) / 60)::integer as minutes,
              extract(epoch from lower(x.during) - x.free_cancel_until) / 3600 as hours
     ) as terms
where x.id = b.id and s.id = b.service_id and c.instructor_id = b.instructor_id;

alter table booking
  alter column hourly_rate_cents set not null,
  alter column free_cancel_hours set not null;
