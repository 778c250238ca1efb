/*
 * traps.sql: hostile objects with the names of pg_catalog's. PostgreSQL uses such an object instead
 * of pg_catalog's if its schema comes first in the search_path, or if it matches the types of a
 * call better. Each object reports its use by a warning and by traps.sprung, a sequence, which no
 * rollback resets.
 *
 * CALL pg_temp.set_traps('evil') creates the objects in a schema, and pg_temp.traps_in('evil')
 * returns their number. They are:
 *
 *  - every function of pg_catalog with the same arguments, and with one argument of each type for
 *    the names that a query is likely to use;
 *  - every operator with the same operands, and with each pair of types for the names that a query
 *    is likely to use;
 *  - aggregates, domains and views.
 */
CREATE SCHEMA traps;
CREATE SEQUENCE traps.sprung;
CREATE FUNCTION traps.spring(what text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM nextval('traps.sprung');
	RAISE WARNING 'trap: %', what;
	RETURN NULL;
END
$$;
GRANT USAGE ON SCHEMA traps TO PUBLIC;
CREATE VIEW traps.report AS SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS sprung FROM traps.sprung;

/* Creates one object, or skips it: users may not create some of pg_catalog's. */
CREATE PROCEDURE pg_temp.try(statement text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
	NULL;
END
$$;

CREATE PROCEDURE pg_temp.set_trap_function(schema text, name text, arguments text, result text) LANGUAGE plpgsql AS $$
BEGIN
	CALL pg_temp.try(format(
		'CREATE FUNCTION %1$I.%2$I(%3$s) RETURNS %4$s LANGUAGE plpgsql AS $f$BEGIN PERFORM traps.spring(%5$L); RETURN %6$s; END$f$',
		schema, name, arguments, result, format('%s(%s)', name, arguments),
		CASE WHEN result LIKE 'SETOF %' THEN '' WHEN result = 'void' THEN '' ELSE 'NULL' END));
END
$$;

/*
 * An operator for two types, the left one 'none' for a prefix operator. Operators of one result
 * type share a function.
 */
CREATE PROCEDURE pg_temp.set_trap_operators(schema text, names text[], left_type text, right_type text, result text)
LANGUAGE plpgsql AS $$
DECLARE
	function text := substr(format('%s, %s: %s', left_type, right_type, result), 1, 63);
	name text;
BEGIN
	CALL pg_temp.set_trap_function(schema, function, concat_ws(', ', nullif(left_type, 'none'), right_type), result);
	FOREACH name IN ARRAY names LOOP
		CALL pg_temp.try(format('CREATE OPERATOR %I.%s (%s RIGHTARG = %s, FUNCTION = %I.%I)', schema, name,
			'LEFTARG = ' || nullif(left_type, 'none') || ',', right_type, schema, function));
	END LOOP;
END
$$;

CREATE PROCEDURE pg_temp.set_traps(schema text) LANGUAGE plpgsql SET check_function_bodies = off AS $$
DECLARE
	types CONSTANT text[] := '{boolean,smallint,integer,bigint,real,"double precision",numeric,text,"character varying",
		character,name,"\"char\"","timestamp with time zone",interval,uuid,oid,regclass,text[]}';
	functions CONSTANT text[] := '{abs,btrim,ceil,clock_timestamp,concat,date_trunc,floor,format,greatest,length,lower,
		lpad,ltrim,now,nextval,octet_length,quote_ident,quote_literal,repeat,replace,round,rpad,rtrim,substr,to_char,
		to_regclass,trim,unnest,upper}';
	aggregates CONSTANT text[] := '{array_agg,avg,bool_and,bool_or,count,every,max,min,row_number,string_agg,sum}';
	comparisons CONSTANT text[] := '{=,<>,<,>,<=,>=,~~,!~~,~}';
	others CONSTANT text[] := '{||,+,-,*,/,%}';
	row record;
BEGIN
	EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', schema);
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', schema);
	FOR row IN
		SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
		FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
			AND p.proallargtypes IS NULL
	LOOP
		CALL pg_temp.set_trap_function(schema, row.proname, row.arguments, row.result);
	END LOOP;
	FOR row IN SELECT name, type FROM unnest(functions) name, unnest(types) type LOOP
		CALL pg_temp.set_trap_function(schema, row.name, row.type, row.type);
	END LOOP;
	FOR row IN
		SELECT array_agg(o.oprname) AS names, coalesce(nullif(o.oprleft, 0)::regtype::text, 'none') AS left_type,
			o.oprright::regtype::text AS right_type, o.oprresult::regtype::text AS result
		FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace GROUP BY 2, 3, 4
	LOOP
		CALL pg_temp.set_trap_operators(schema, row.names, row.left_type, row.right_type, row.result);
	END LOOP;
	FOR row IN SELECT l, r FROM unnest(types) l, unnest(types) r LOOP
		CALL pg_temp.set_trap_operators(schema, comparisons, row.l, row.r, 'bool');
		CALL pg_temp.set_trap_operators(schema, others, row.l, row.r, row.l);
	END LOOP;
	FOR row IN SELECT type FROM unnest(types) type LOOP
		CALL pg_temp.set_trap_function(schema, 'aggregate', concat_ws(', ', row.type, row.type), row.type);
	END LOOP;
	CALL pg_temp.set_trap_function(schema, 'aggregate', 'int8', 'int8');
	FOR row IN SELECT name FROM unnest(aggregates) name LOOP
		CALL pg_temp.try(format('CREATE AGGREGATE %I.%I(*) (SFUNC = %I.aggregate, STYPE = int8)', schema, row.name, schema));
	END LOOP;
	FOR row IN SELECT name, type FROM unnest(aggregates) name, unnest(types) type LOOP
		CALL pg_temp.try(format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %I.aggregate, STYPE = %s)', schema, row.name, row.type,
			schema, row.type));
	END LOOP;
	FOR row IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')
	LOOP
		CALL pg_temp.try(format('CREATE VIEW %I.%I AS SELECT * FROM pg_catalog.%I WHERE traps.spring(%L)', schema, row.relname,
			row.relname, row.relname));
		CALL pg_temp.try(format('GRANT SELECT ON %I.%I TO PUBLIC', schema, row.relname));
	END LOOP;
	/* Last, because the statements above name these objects. */
	FOR row IN SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' LOOP
		CALL pg_temp.try(format('CREATE DOMAIN %I.%I AS pg_catalog.%I CHECK (traps.spring(%L) IS NULL)', schema, row.typname,
			row.typname, row.typname));
	END LOOP;
END
$$;

CREATE FUNCTION pg_temp.traps_in(schema text, OUT functions bigint, OUT operators bigint, OUT types bigint, OUT views bigint)
LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = $1::regnamespace),
		(SELECT count(*) FROM pg_operator WHERE oprnamespace = $1::regnamespace),
		(SELECT count(*) FROM pg_type WHERE typnamespace = $1::regnamespace AND typtype = 'd'),
		(SELECT count(*) FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'v')
$$;
