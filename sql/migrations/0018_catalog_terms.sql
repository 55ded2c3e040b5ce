-- What people call the catalog's services, categories and areas: names, synonyms and everyday
-- spellings, in lower case. Search looks a query's words up here. sql/data fills the tables.

-- A term may name several services: "coding" is Python and web development.
create table catalog_term (
  term            text not null,
  catalog_service text not null references catalog_service,
  primary key (term, catalog_service)
);

create table category_term (
  term     text primary key,
  category text not null references category
);

-- A term may name several areas: there is a Murray Hill in Manhattan and one in Queens.
create table area_term (
  term text not null,
  area text not null references area,
  primary key (term, area)
);
