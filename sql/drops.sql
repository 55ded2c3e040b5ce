-- The statements that drop each function and view of the schema `code`. By name and without
-- cascade, so that an outside object that depends on one of them is never dropped with it.
select format('drop view %s restrict', oid::regclass) as statement
from pg_class where relnamespace = to_regnamespace('code') and relkind = 'v'
union all
select format('drop routine %s restrict', oid::regprocedure)
from pg_proc where pronamespace = to_regnamespace('code');
