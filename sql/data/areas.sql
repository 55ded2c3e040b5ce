-- The areas of the city: each borough, and its neighborhoods with what people call them. Every
-- migration run updates the tables to this list. Slugs never change and are never removed, because
-- instructors refer to them. The name is a term too.

with listed (borough, slug, name, terms) as (values
  ('Manhattan', 'manhattan', 'Manhattan', ''),
  ('Manhattan', 'battery-park-city', 'Battery Park City', ''),
  ('Manhattan', 'chelsea', 'Chelsea', ''),
  ('Manhattan', 'chinatown', 'Chinatown', ''),
  ('Manhattan', 'east-harlem', 'East Harlem', ''),
  ('Manhattan', 'east-village', 'East Village', ''),
  ('Manhattan', 'financial-district', 'Financial District', ''),
  ('Manhattan', 'gramercy', 'Gramercy', ''),
  ('Manhattan', 'greenwich-village', 'Greenwich Village', ''),
  ('Manhattan', 'harlem', 'Harlem', ''),
  ('Manhattan', 'hells-kitchen', 'Hell''s Kitchen', ''),
  ('Manhattan', 'inwood', 'Inwood', ''),
  ('Manhattan', 'lower-east-side', 'Lower East Side', ''),
  ('Manhattan', 'midtown', 'Midtown', ''),
  ('Manhattan', 'morningside-heights', 'Morningside Heights', ''),
  ('Manhattan', 'murray-hill', 'Murray Hill', ''),
  ('Manhattan', 'soho', 'SoHo', ''),
  ('Manhattan', 'tribeca', 'Tribeca', ''),
  ('Manhattan', 'upper-east-side', 'Upper East Side', ''),
  ('Manhattan', 'upper-west-side', 'Upper West Side', ''),
  ('Manhattan', 'washington-heights', 'Washington Heights', ''),
  ('Manhattan', 'west-village', 'West Village', ''),
  ('Brooklyn', 'brooklyn', 'Brooklyn', ''),
  ('Brooklyn', 'bay-ridge', 'Bay Ridge', ''),
  ('Brooklyn', 'bedford-stuyvesant', 'Bedford-Stuyvesant', ''),
  ('Brooklyn', 'brooklyn-heights', 'Brooklyn Heights', ''),
  ('Brooklyn', 'bushwick', 'Bushwick', ''),
  ('Brooklyn', 'carroll-gardens', 'Carroll Gardens', ''),
  ('Brooklyn', 'cobble-hill', 'Cobble Hill', ''),
  ('Brooklyn', 'crown-heights', 'Crown Heights', ''),
  ('Brooklyn', 'downtown-brooklyn', 'Downtown Brooklyn', ''),
  ('Brooklyn', 'dumbo', 'DUMBO', ''),
  ('Brooklyn', 'fort-greene', 'Fort Greene', ''),
  ('Brooklyn', 'greenpoint', 'Greenpoint', ''),
  ('Brooklyn', 'park-slope', 'Park Slope', ''),
  ('Brooklyn', 'prospect-heights', 'Prospect Heights', ''),
  ('Brooklyn', 'red-hook', 'Red Hook', ''),
  ('Brooklyn', 'sunset-park', 'Sunset Park', ''),
  ('Brooklyn', 'williamsburg', 'Williamsburg', ''),
  ('Queens', 'queens', 'Queens', ''),
  ('Queens', 'astoria', 'Astoria', ''),
  ('Queens', 'flushing', 'Flushing', ''),
  ('Queens', 'forest-hills', 'Forest Hills', ''),
  ('Queens', 'jackson-heights', 'Jackson Heights', ''),
  ('Queens', 'long-island-city', 'Long Island City', ''),
  ('Queens', 'sunnyside', 'Sunnyside', ''),
  ('Bronx', 'bronx', 'Bronx', ''),
  ('Bronx', 'fordham', 'Fordham', ''),
  ('Bronx', 'mott-haven', 'Mott Haven', ''),
  ('Bronx', 'riverdale', 'Riverdale', ''),
  ('Staten Island', 'staten-island', 'Staten Island', ''),
  ('Staten Island', 'st-george', 'St. George', ''),
  ('Staten Island', 'stapleton', 'Stapleton', '')
), area_rows as (
  insert into area (borough, slug, name)
  select borough, slug, name from listed
  on conflict (slug) do update set name = excluded.name, borough = excluded.borough
  where (area.name, area.borough) is distinct from (excluded.name, excluded.borough)
), terms as (
  select distinct trim(term) as term, slug
  from listed, unnest(string_to_array(lower(name) || ',' || terms, ',')) as term
  where trim(term) <> ''
), removed as (
  delete from area_term t
  where not exists (select from terms where terms.term = t.term and terms.slug = t.area)
)
insert into area_term (term, area)
select term, slug from terms
on conflict do nothing;
