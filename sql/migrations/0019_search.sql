-- Searching services: by words, by price, and by free time within hours.

create extension if not exists unaccent;

-- The words of a service: the instructor's name, headline and bio, the catalog's name and the
-- description. One document per service, so that all words of a search are looked up in one index.
alter table service add column document tsvector not null default '';

-- The functions of triggers live in `public`, because every migration run drops the schema `code`.
create function public.write_service_document() returns trigger
language plpgsql set search_path = public as $$
begin
  new.document := coalesce((
    select to_tsvector('simple', unaccent(concat_ws(' ', a.full_name, k.name)))
           || to_tsvector('english', unaccent(concat_ws(
                ' ', k.name, i.headline, i.bio, new.description)))
    from instructor i
    join account a on a.id = i.id
    join catalog_service k on k.slug = new.catalog_service
    where i.id = new.instructor_id
  ), '');
  return new;
end
$$;

create trigger service_document before insert or update of description, catalog_service
  on service for each row execute function public.write_service_document();

-- After a change of a profile or a name. The update fires the trigger above.
create function public.write_documents_of_instructor() returns trigger
language plpgsql set search_path = public as $$
begin
  update service s set description = s.description where s.instructor_id = new.id;
  return null;
end
$$;

create trigger instructor_documents after update of headline, bio on instructor
  for each row when ((old.headline, old.bio) is distinct from (new.headline, new.bio))
  execute function public.write_documents_of_instructor();
create trigger account_documents after update of full_name on account
  for each row when (old.full_name is distinct from new.full_name)
  execute function public.write_documents_of_instructor();

update service s set description = s.description;

create index service_words on service using gin (document) where is_active;
-- Who is open within some hours, whoever it is.
create index availability_hours on availability using gist (during) include (instructor_id);
create index instructor_area_of on instructor_area (area, instructor_id);
create index calendar_zone on calendar (time_zone) where is_active;
