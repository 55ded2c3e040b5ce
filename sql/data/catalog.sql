-- The shared catalog: categories and services, each with what people call it. Every migration run
-- updates the tables to these lists. Slugs never change and are never removed, because services
-- refer to them.
--
-- `terms` are synonyms and everyday spellings in lower case, separated by commas. The name is a
-- term too. Typos, plurals and words like "lessons" are the search's work and need no term.

with listed (slug, name, position, terms) as (values
  ('music', 'Music', 1, ''),
  ('languages', 'Languages', 2, ''),
  ('academics', 'Academics', 3, ''),
  ('fitness', 'Fitness', 4, ''),
  ('arts', 'Arts', 5, ''),
  ('technology', 'Technology', 6, ''),
  ('kids', 'Kids', 7, ''),
  ('cooking', 'Cooking', 8, '')
), category_rows as (
  insert into category (slug, name, position)
  select slug, name, position from listed
  on conflict (slug) do update set name = excluded.name, position = excluded.position
  where (category.name, category.position) is distinct from (excluded.name, excluded.position)
), terms as (
  select distinct trim(term) as term, slug
  from listed, unnest(string_to_array(lower(name) || ',' || terms, ',')) as term
  where trim(term) <> ''
), removed as (
  delete from category_term t
  where not exists (select from terms where terms.term = t.term)
)
insert into category_term as t (term, category)
select term, slug from terms
on conflict (term) do update set category = excluded.category
where t.category <> excluded.category;

with listed (category, slug, name, terms) as (values
  ('music', 'piano', 'Piano', ''),
  ('music', 'guitar', 'Guitar', ''),
  ('music', 'bass-guitar', 'Bass Guitar', ''),
  ('music', 'violin', 'Violin', ''),
  ('music', 'cello', 'Cello', ''),
  ('music', 'voice', 'Voice', ''),
  ('music', 'drums', 'Drums', ''),
  ('music', 'saxophone', 'Saxophone', ''),
  ('music', 'flute', 'Flute', ''),
  ('music', 'trumpet', 'Trumpet', ''),
  ('music', 'ukulele', 'Ukulele', ''),
  ('music', 'music-theory', 'Music Theory', ''),
  ('languages', 'spanish', 'Spanish', ''),
  ('languages', 'english', 'English', ''),
  ('languages', 'french', 'French', ''),
  ('languages', 'mandarin', 'Mandarin', ''),
  ('languages', 'italian', 'Italian', ''),
  ('languages', 'german', 'German', ''),
  ('languages', 'japanese', 'Japanese', ''),
  ('languages', 'korean', 'Korean', ''),
  ('languages', 'portuguese', 'Portuguese', ''),
  ('languages', 'hebrew', 'Hebrew', ''),
  ('languages', 'american-sign-language', 'American Sign Language', ''),
  ('academics', 'math', 'Math', ''),
  ('academics', 'algebra', 'Algebra', ''),
  ('academics', 'calculus', 'Calculus', ''),
  ('academics', 'physics', 'Physics', ''),
  ('academics', 'chemistry', 'Chemistry', ''),
  ('academics', 'biology', 'Biology', ''),
  ('academics', 'essay-writing', 'Essay Writing', ''),
  ('academics', 'history', 'History', ''),
  ('academics', 'sat-prep', 'SAT Prep', ''),
  ('academics', 'gre-prep', 'GRE Prep', ''),
  ('academics', 'shsat-prep', 'SHSAT Prep', ''),
  ('fitness', 'yoga', 'Yoga', ''),
  ('fitness', 'pilates', 'Pilates', ''),
  ('fitness', 'personal-training', 'Personal Training', ''),
  ('fitness', 'running', 'Running', ''),
  ('fitness', 'boxing', 'Boxing', ''),
  ('fitness', 'swimming', 'Swimming', ''),
  ('fitness', 'tennis', 'Tennis', ''),
  ('fitness', 'meditation', 'Meditation', ''),
  ('arts', 'drawing', 'Drawing', ''),
  ('arts', 'watercolor', 'Watercolor', ''),
  ('arts', 'oil-painting', 'Oil Painting', ''),
  ('arts', 'photography', 'Photography', ''),
  ('arts', 'pottery', 'Pottery', ''),
  ('arts', 'acting', 'Acting', ''),
  ('arts', 'ballet', 'Ballet', ''),
  ('arts', 'salsa-dance', 'Salsa Dance', ''),
  ('arts', 'calligraphy', 'Calligraphy', ''),
  ('technology', 'python', 'Python', ''),
  ('technology', 'web-development', 'Web Development', ''),
  ('technology', 'data-science', 'Data Science', ''),
  ('technology', 'excel', 'Excel', ''),
  ('technology', 'graphic-design', 'Graphic Design', ''),
  ('technology', 'video-editing', 'Video Editing', ''),
  ('technology', 'music-production', 'Music Production', ''),
  ('kids', 'homework-help', 'Homework Help', ''),
  ('kids', 'reading', 'Reading', ''),
  ('kids', 'chess', 'Chess', ''),
  ('kids', 'coding-for-kids', 'Coding for Kids', ''),
  ('kids', 'kids-piano', 'Piano for Kids', ''),
  ('cooking', 'home-cooking', 'Home Cooking', ''),
  ('cooking', 'baking', 'Baking', ''),
  ('cooking', 'knife-skills', 'Knife Skills', '')
), catalog_rows as (
  insert into catalog_service (category, slug, name)
  select category, slug, name from listed
  on conflict (slug) do update set name = excluded.name, category = excluded.category
  where (catalog_service.name, catalog_service.category)
        is distinct from (excluded.name, excluded.category)
), terms as (
  select distinct trim(term) as term, slug
  from listed, unnest(string_to_array(lower(name) || ',' || terms, ',')) as term
  where trim(term) <> ''
), removed as (
  delete from catalog_term t
  where not exists (
    select from terms where terms.term = t.term and terms.slug = t.catalog_service)
)
insert into catalog_term (term, catalog_service)
select term, slug from terms
on conflict do nothing;
