/*
 * reference.sql: the parts of doc/reference.md that the catalog knows, in Markdown.
 *
 * `make reference` runs it on a throwaway server and puts each part between its marks in the document; a test fails if
 * the document then differs. What a part says of an object is the object's comment, so it is written once, in the
 * install script (settings: in src/pg/settings.cpp).
 *
 * Takes nothing; prints, for each part, a line "== NAME" and its Markdown. Needs the extension in the search_path.
 */
LOAD 'gxy_balancer';
\pset format unaligned
\pset tuples_only on
\pset footer off

\echo == settings
-- Times as PostgreSQL takes them: milliseconds, in the largest unit that divides them.
CREATE FUNCTION pg_temp.in_units(number text, unit text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE
		WHEN unit IS DISTINCT FROM 'ms' OR number = '0' THEN number || CASE WHEN unit = 'ms' OR unit IS NULL THEN '' ELSE ' ' || unit END
		WHEN number::bigint % 86400000 = 0 THEN number::bigint / 86400000 || 'd'
		WHEN number::bigint % 3600000 = 0 THEN number::bigint / 3600000 || 'h'
		WHEN number::bigint % 60000 = 0 THEN number::bigint / 60000 || 'min'
		WHEN number::bigint % 1000 = 0 THEN number::bigint / 1000 || 's'
		ELSE number || 'ms' END
$$;
SELECT format(E'### `%s`\n\n%s%s\n\nDefault `%s`%s. %s\n',
		s.name, regexp_replace(s.short_desc, '\.$', ''), '.' || coalesce(' ' || s.extra_desc, ''),
		replace(s.shown, ',', ', '),
		CASE
			WHEN s.vartype = 'enum' THEN format(', one of `%s`', array_to_string(s.enumvals, '`, `'))
			WHEN s.max_val = '2147483647' THEN format(', at least `%s`', pg_temp.in_units(s.min_val, s.unit))
			WHEN s.min_val IS NOT NULL THEN format(', from `%s` to `%s`', pg_temp.in_units(s.min_val, s.unit),
				pg_temp.in_units(s.max_val, s.unit))
			ELSE '' END,
		CASE s.context
			WHEN 'superuser' THEN 'Set for a session, role, database or the server, by a superuser.'
			WHEN 'sighup' THEN 'Set for the server only, in its configuration file; a reload applies it.'
			WHEN 'user' THEN 'Set for a session, role, database or the server, by everyone.'
			ELSE 'Set when the server starts.' END)
	FROM (SELECT s.*, current_setting(s.name) AS shown FROM pg_catalog.pg_settings s) s
	WHERE s.name LIKE 'gxy\_balancer.%' AND s.name <> 'gxy_balancer.debug_delay'
	ORDER BY s.name;

\echo == functions
SELECT E'| Function | Returns | Does |\n|---|---|---|';
SELECT format('| `%s(%s)` | %s | %s |', proname,
		regexp_replace(replace(replace(args[1], 'room bigint', 'room'), 'room text', 'room'), '::[a-z ]+', '', 'g'),
		CASE WHEN result LIKE 'SETOF%' THEN 'table' ELSE result END, replace(description, '|', '\|'))
	FROM (
		SELECT p.proname, pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS description,
			array_agg(coalesce((SELECT string_agg(format('%s %s%s', p.proargnames[i], format_type(p.proargtypes[i - 1], NULL),
						CASE WHEN i > p.pronargs - p.pronargdefaults THEN ' DEFAULT '
							|| regexp_replace(pg_get_function_arg_default(p.oid, i), '::.*', '') ELSE '' END), ', ' ORDER BY i)
					FROM generate_series(1, p.pronargs) i), '') ORDER BY p.oid) AS args
			FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
			JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
			WHERE e.extname = 'gxy_balancer' AND d.deptype = 'e' AND p.proname !~ '^_'
			GROUP BY 1, 2, 3) f
	ORDER BY proname;

\echo == relations
SELECT format(E'### `%s`\n\n%s %s.\n\n| Column | Type | Is |\n|---|---|---|\n%s\n', c.relname,
		CASE c.relkind WHEN 'v' THEN 'View:' ELSE 'Table:' END, obj_description(c.oid, 'pg_class'),
		string_agg(format('| `%s` | %s | %s |', a.attname, format_type(a.atttypid, a.atttypmod),
			replace(coalesce(col_description(c.oid, a.attnum), ''), '|', '\|')), E'\n' ORDER BY a.attnum))
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
	JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE e.extname = 'gxy_balancer' AND d.deptype = 'e' AND c.relkind IN ('r', 'v') AND c.relname !~ '^_'
	GROUP BY c.oid, c.relname, c.relkind
	ORDER BY c.relkind, c.relname;
