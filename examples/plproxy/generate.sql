/*
 * Prints the generated part of the proxy's SQL; see `generate`. Placeholder: @schema@, that of the extension.
 *
 * Rules: a function whose first argument is "room" goes to the shard of that room. Other functions run on every shard,
 * and `rules` says how their answers become one. Views and tables are views that have the rows of every shard, with a
 * column "shard"; those of `sums` moreover have one row for each server, named like the extension's.
 */
\set ON_ERROR_STOP 1
CREATE TEMPORARY TABLE rules (name, rule) AS VALUES
	('clean_inactive_assignments', 'sum'),
	('init_servers', 'greatest'), -- And what shards have missed is noted.
	('server_state', 'worst'),
	('set_server_state', 'worst'),
	('server_heartbeat', 'or'),
	('evacuate_server', 'limited'),
	('rebalance', 'limited'),
	('what_if', 'by server'),
	('what_if_added', 'by server'),
	('reset_balancer_stats', 'nothing'),
	-- Their argument is a relation of the shard: attach it there.
	('attach_sessions', 'absent'),
	('attach_rooms', 'absent');
CREATE TEMPORARY TABLE sums (name) AS VALUES ('balancer_load');

-- How the rows of one server become one row, by column. r: the rows, in the order in which they came.
CREATE TEMPORARY TABLE columns (name, expression) AS VALUES
	('server', 'r.server'),
	('state', '@schema@._worst(array_agg(r.state))'),
	('pool', 'min(r.pool)'),
	('capacity', 'max(r.capacity)'),
	('percent', 'round(100.0 * sum(r.load) / max(r.capacity), 1)'),
	('percent_before', 'round(100.0 * sum(r.load_before) / max(r.capacity), 1)'),
	('percent_after', 'round(100.0 * sum(r.load_after) / max(r.capacity), 1)'),
	('bar', 'CASE WHEN sum(r.load) <= max(r.capacity) THEN rpad(repeat(''#'', ceil(6 * sum(r.load) / max(r.capacity))::int), 6, ''.'') '
		|| 'WHEN sum(r.load) > max(r.capacity) THEN ''#####>'' END'),
	('cause', 'string_agg(DISTINCT r.cause, ''; '')'),
	('note', 'string_agg(DISTINCT r.note, ''; '')'),
	('measured', 'max(r.measured)');
INSERT INTO columns
SELECT n || suffix, format('sum(r.%s)::bigint', n || suffix)
FROM unnest('{rooms,users,load}'::text[]) n, unnest(ARRAY['', '_before', '_after']) suffix
UNION ALL
SELECT n, format('sum(r.%s)::bigint', n) FROM unnest('{connected,expected}'::text[]) n;

CREATE TEMPORARY VIEW members AS
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE e.extname = 'gxy_balancer' AND d.deptype = 'e';

-- The columns of a function's row or of a relation: as declared, as output, and to be selected from x.
CREATE TEMPORARY VIEW outputs AS
	SELECT p.oid, a.n, coalesce(p.proargnames[a.n::int], '') AS name, format_type(p.proallargtypes[a.n::int], NULL) AS type
	FROM pg_proc p JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid,
		generate_subscripts(p.proargmodes, 1) AS a (n)
	WHERE p.proargmodes[a.n::int] IN ('o', 't')
	UNION ALL
	SELECT c.oid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod)
	FROM pg_class c JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped;
CREATE TEMPORARY VIEW rows_of AS
	SELECT oid, string_agg(format('OUT %I %s', name, type), ', ' ORDER BY n) AS declared,
		string_agg(format('%I %s', name, type), ', ' ORDER BY n) AS defined,
		string_agg(format('x.%I', name), ', ' ORDER BY n) AS selected, array_agg(name ORDER BY n) AS names
	FROM outputs GROUP BY oid;

CREATE TEMPORARY TABLE functions AS
	SELECT p.oid, p.proname AS name, p.provolatile = 's' AS stable, p.proretset AS set,
		(p.proargnames)[1] IS NOT DISTINCT FROM 'room' AS by_room, r.rule,
		pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
		p.prorettype = 'void'::regtype AS void, p.pronargs,
		(SELECT coalesce(string_agg(format_type(t, NULL), ', ' ORDER BY n), '') FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n)) AS types,
		(SELECT coalesce(string_agg(format('$%s', n), ', '), '') FROM generate_series(1, p.pronargs) n) AS passed,
		(SELECT coalesce(string_agg(format('$%s::%s', n, format_type(t, NULL)), ', ' ORDER BY n), '')
			FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n)) AS sent,
		-- In a format of a statement.
		(SELECT coalesce(string_agg(format('%%L::%s', format_type(t, NULL)), ', ' ORDER BY n), '')
			FROM unnest(p.proargtypes) WITH ORDINALITY a (t, n)) AS written,
		obj_description(p.oid, 'pg_proc') AS comment, p.proacl AS acl, p.proowner AS owner
	FROM pg_proc p JOIN members m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
		LEFT JOIN rules r ON r.name = p.proname
	WHERE p.proname NOT LIKE '\_%' AND p.prorettype <> 'trigger'::regtype;
CREATE TEMPORARY TABLE relations AS
	SELECT c.oid, c.relname AS name, s.name IS NOT NULL AS summed, obj_description(c.oid, 'pg_class') AS comment,
		c.relacl AS acl, c.relowner AS owner
	FROM pg_class c JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
		LEFT JOIN sums s ON s.name = c.relname
	WHERE c.relname NOT LIKE '\_%' AND c.relkind IN ('r', 'v', 'm', 'p');

DO $$
DECLARE
	missing text;
BEGIN
	SELECT string_agg(format('%s(%s)', name, types), ', ') INTO missing FROM functions WHERE NOT by_room AND rule IS NULL;
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'examples/plproxy/generate.sql has no rule for %', missing
			USING HINT = 'Say in its table "rules" how the answers of several databases become one.';
	END IF;
	SELECT string_agg(DISTINCT o.name, ', ') INTO missing
	FROM outputs o
	WHERE o.oid IN (SELECT oid FROM functions WHERE rule = 'by server' UNION ALL SELECT oid FROM relations WHERE summed)
		AND o.name NOT IN (SELECT name FROM columns);
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION 'examples/plproxy/generate.sql has no rule for the columns %', missing
			USING HINT = 'Say in its table "columns" how the rows of one server become one.';
	END IF;
END $$;

-- What the handlers of functions for rooms catch, and the attributes of the functions that roles call.
\set lost 'internal_error OR connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now OR database_dropped'
\set attributes 'SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$'

-- The loop over all shards that "step" is in; "step" uses _shard, and _link for dblink_get_result(). asked: an expression, the
-- statement for the shards. seconds: how long they may take, or NULL. until: NULL, and all shards are asked at once; or a
-- condition, and they are asked one after the other until it holds. after: what follows the loop. An error of one shard
-- keeps the call from no other, except that of a wrong argument (class 22); the views have none. That no shard answers is an
-- error, except of balancer_alerts, which has it in its rows.
CREATE FUNCTION pg_temp.on_all(declared text, asked text, seconds text, until text, step text, after text, view text DEFAULT NULL) RETURNS text
	LANGUAGE sql AS $f$
	SELECT format(E'DECLARE\n\t_shard int;\n\t_link text;\n\t_state text;\n\t_message text;\n\t_answered int := 0;\n\t_refused text;\n\t_refusal text;\n\t_context text;\n%sBEGIN\n'
		'\tPERFORM FROM @schema@.shard_gate;\n%s'
		'\t\tBEGIN\n\t\t\tPERFORM @schema@._check_link(_link, _state, _message);\n%s'
		'\t\t\t_answered := _answered + 1;\n'
		'\t\tEXCEPTION\n%s'
		'\t\t\tWHEN OTHERS OR query_canceled THEN\n\t\t\t\tGET STACKED DIAGNOSTICS _context = PG_EXCEPTION_CONTEXT;\n'
		'\t\t\t\tIF @schema@._is_cancelled(SQLSTATE, _context) THEN\n\t\t\t\t\tRAISE;\n\t\t\t\tEND IF;\n'
		'\t\t\t\tIF NOT @schema@._is_lost(SQLSTATE, SQLERRM) THEN\n'
		'\t\t\t\t\t_refused := SQLSTATE;\n\t\t\t\t\t_refusal := SQLERRM;\n\t\t\t\tEND IF;\n'
		'\t\t\t\tPERFORM @schema@._shard_failed(_shard, SQLSTATE, SQLERRM);\n\t\tEND;\n'
		'\t\tPERFORM @schema@._drain(_link);\n\tEND LOOP;\n'
		'\tPERFORM @schema@._check_answers(%s, _refused, _refusal);\n%sEND $$;', declared,
		CASE WHEN until IS NULL THEN
			format(E'\tFOR _shard, _link, _state, _message IN\n\t\tSELECT * FROM @schema@._ask(@schema@._shards(), %s, %s)\n\tLOOP\n', asked, seconds)
		ELSE
			format(E'\tFOREACH _shard IN ARRAY @schema@._shards() LOOP\n\t\tCONTINUE WHEN _answered > 0 AND (%s);\n'
				'\t\tSELECT a.link, a.state, a.message INTO _link, _state, _message\n\t\tFROM @schema@._ask(ARRAY[_shard], %s, %s) a;\n', until, asked, seconds)
		END, step, CASE WHEN view IS NULL THEN E'\t\t\tWHEN data_exception THEN\n\t\t\t\tRAISE;\n' ELSE '' END,
		CASE WHEN view = 'balancer_alerts' THEN 'CASE WHEN _refused IS NULL THEN 1 ELSE _answered END' ELSE '_answered' END, after)
$f$;

-- REVOKE, COMMENT and the grants of the extension's object.
CREATE FUNCTION pg_temp.closing(kind text, object text, comment text, acl aclitem[], owner oid) RETURNS text
	LANGUAGE sql AS $f$
	SELECT format(E'REVOKE ALL ON %s%s FROM PUBLIC;\nCOMMENT ON %s %s IS %L;', CASE kind WHEN 'VIEW' THEN '' ELSE kind || ' ' END,
			object, kind, object, comment)
		|| coalesce((SELECT string_agg(format(E'\nGRANT %s ON %s%s TO %s;', g.privilege_type,
				CASE kind WHEN 'VIEW' THEN '' ELSE kind || ' ' END, object, g.grantee::regrole), '' ORDER BY g.grantee, g.privilege_type)
			FROM aclexplode(acl) g WHERE g.grantee NOT IN (0, owner)), '')
$f$;

\set start 'E''\\n'' || '
SELECT E'\n--\n-- Functions for rooms: on the shard of the room\n--';
SELECT format(E'\nCREATE FUNCTION @schema@._%s(%s%s)\n\tRETURNS %s\n\tLANGUAGE plproxy VOLATILE AS $$\n'
		'\tCLUSTER ''balancer'';\n\tRUN ON @schema@.shard_of($1%s);\n\tSELECT %s@schema@.%s(%s)%s;\n$$;\n'
		'REVOKE ALL ON FUNCTION @schema@._%s(%s) FROM PUBLIC;\n'
		'COMMENT ON FUNCTION @schema@._%s(%s) IS ''%s() of the shard'';\n\n'
		'CREATE FUNCTION @schema@.%s(%s)\n\tRETURNS %s\n\tLANGUAGE plpgsql %s %s\n'
		'BEGIN\n\tPERFORM FROM @schema@.shard_gate;\n'
		'\t%s @schema@._%s(%s);\n'
		'EXCEPTION WHEN %s THEN\n\tIF NOT @schema@._is_lost(SQLSTATE, SQLERRM) THEN\n\t\tRAISE;\n\tEND IF;\n'
		'\tPERFORM @schema@._room_lost(room%s, SQLERRM);\nEND $$;\n%s',
		f.name, f.types, coalesce(', ' || r.declared, ''), f.result,
		CASE WHEN f.types LIKE 'text%' THEN '' ELSE '::text' END,
		CASE WHEN f.set THEN r.selected || ' FROM ' ELSE '' END, f.name, f.sent, CASE WHEN f.set THEN ' x' ELSE '' END,
		f.name, f.types, f.name, f.types, f.name,
		f.name, f.arguments, f.result, CASE WHEN f.stable THEN 'STABLE' ELSE 'VOLATILE' END, :'attributes',
		CASE WHEN f.set THEN 'RETURN QUERY SELECT * FROM' ELSE 'RETURN' END, f.name, f.passed,
		:'lost', CASE WHEN f.types LIKE 'text%' THEN '' ELSE '::text' END,
		pg_temp.closing('FUNCTION', format('@schema@.%s(%s)', f.name, f.types), f.comment, f.acl, f.owner))
FROM functions f LEFT JOIN rows_of r ON r.oid = f.oid
WHERE f.by_room ORDER BY f.name, f.types DESC;

SELECT E'\n--\n-- Functions for all shards\n--\n';
-- A server is drained only if it is on all shards, and all have answered: then it can be switched off.
SELECT $$CREATE FUNCTION @schema@._worst(states text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (SELECT s FROM unnest(states) s ORDER BY array_position('{offline,recovering,draining,online,drained}', s), s LIMIT 1);
REVOKE ALL ON FUNCTION @schema@._worst(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @schema@._worst(text[]) TO pg_monitor;
COMMENT ON FUNCTION @schema@._worst(text[]) IS 'the state of a server that has these on different shards';$$;
SELECT format(E'\nCREATE FUNCTION @schema@.%s(%s)\n\tRETURNS %s\n\tLANGUAGE plpgsql %s %s\n%s\n%s',
		CASE WHEN f.rule = 'by server' THEN '_' ELSE '' END || f.name,
		CASE WHEN f.rule = 'by server' THEN f.types || ', ' || r.declared ELSE f.arguments END, f.result, f.volatility,
		CASE WHEN f.rule = 'by server' THEN E'AS $$\n#variable_conflict use_column' ELSE :'attributes' END,
		CASE f.rule
			WHEN 'nothing' THEN pg_temp.on_all('', f.asked, '60', NULL,
				E'\t\t\tPERFORM FROM gxy_dblink.dblink_get_result(_link) AS x (a text);\n', '')
			WHEN 'limited' THEN CASE WHEN f.set THEN pg_temp.on_all(
				E'\t_row record;\n\t_rooms int := max_rooms;\n\t_users int := max_users;\n',
				replace(f.asked, f.passed, '_rooms, _users, dry_run'), 'NULL', '_rooms <= 0 OR _users <= 0',
				format(E'\t\t\tFOR _row IN SELECT * FROM gxy_dblink.dblink_get_result(_link) AS x (%s) LOOP\n'
					'\t\t\t\troom := _row.room;\n\t\t\t\tfrom_server := _row.from_server;\n\t\t\t\tto_server := _row.to_server;\n\t\t\t\tusers := _row.users;\n'
					'\t\t\t\t_rooms := _rooms - 1;\n\t\t\t\t_users := _users - coalesce(_row.users, 0);\n\t\t\t\tRETURN NEXT;\n'
					'\t\t\tEND LOOP;\n', r.defined), '')
				ELSE pg_temp.on_all(E'\t_moved bigint;\n\t_all bigint := 0;\n\t_rooms int := max_rooms;\n',
				replace(f.asked, f.passed, 'server, target, _rooms'), 'NULL', '_rooms <= 0',
				format(E'\t\t\t_moved := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a bigint));\n'
					'\t\t\t_all := _all + _moved;\n\t\t\t_rooms := _rooms - _moved;\n'), E'\tRETURN _all;\n') END
			WHEN 'by server' THEN pg_temp.on_all(E'\t_rows jsonb := ''[]'';\n', f.asked, '60', NULL, format(
				E'\t\t\t_rows := _rows || (SELECT coalesce(jsonb_agg(to_jsonb(x)), ''[]'')\n'
				'\t\t\t\tFROM gxy_dblink.dblink_get_result(_link) AS x (%s));\n', r.defined),
				format(E'\tRETURN QUERY\n\t\tSELECT %s\n\t\tFROM ROWS FROM (jsonb_to_recordset(_rows) AS (%s)) WITH ORDINALITY r\n'
					'\t\tGROUP BY r.server ORDER BY min(r.ordinality);\n',
					(SELECT string_agg(c.expression, E',\n\t\t\t' ORDER BY o.n) FROM outputs o JOIN columns c USING (name) WHERE o.oid = f.oid),
					r.defined))
				|| format(E'\nREVOKE ALL ON FUNCTION @schema@._%s(%s) FROM PUBLIC;\nCOMMENT ON FUNCTION @schema@._%s(%s) IS ''rows of %s()'';\n\n'
					'CREATE FUNCTION @schema@.%s(%s)\n\tRETURNS %s\n\tLANGUAGE sql %s %s\n\tSELECT * FROM @schema@._%s(%s);\n$$;',
					f.name, f.types, f.name, f.types, f.name, f.name, f.arguments, f.result, f.volatility, :'attributes', f.name, f.passed)
			-- Heartbeats and states wait for a sick shard no longer than their callers can.
			ELSE pg_temp.on_all(format(E'\t_answer %s;\n\t_all %s;\n%s', f.result, f.result, CASE f.rule WHEN 'greatest' THEN E'\t_reached int[] := ''{}'';\n' ELSE '' END), f.asked,
				CASE WHEN f.rule IN ('or', 'worst') THEN '5' WHEN f.rule = 'sum' THEN 'NULL' ELSE '60' END, NULL,
				format(E'\t\t\t_answer := (SELECT x.a FROM gxy_dblink.dblink_get_result(_link) AS x (a %s));\n\t\t\t_all := %s;\n%s', f.result, CASE f.rule
					WHEN 'sum' THEN 'coalesce(_all, 0) + _answer'
					WHEN 'greatest' THEN 'greatest(_all, _answer)'
					WHEN 'or' THEN 'coalesce(_all, false) OR _answer'
					WHEN 'worst' THEN '@schema@._worst(ARRAY[_all, _answer])' END,
					CASE f.rule WHEN 'greatest' THEN E'\t\t\t_reached := _reached || _shard;\n' ELSE '' END),
				CASE f.rule WHEN 'greatest' THEN E'\tPERFORM @schema@._note_missed($1, _reached);\n' ELSE '' END || E'\tRETURN _all;\n')
		END,
		pg_temp.closing('FUNCTION', format('@schema@.%s(%s)', f.name, f.types), f.comment, f.acl, f.owner))
FROM (SELECT *, 'VOLATILE' AS volatility, -- STABLE would be with the snapshot from before a wait for shard_gate.
		format('format(%L%s)', format('SELECT %s@schema@.%s(%s)%s%s', CASE WHEN set THEN '* FROM ' ELSE '' END, name, written,
				CASE WHEN void THEN '::text' ELSE '' END,
				-- A lock on one shard is an error there before the time is over.
				CASE WHEN rule IN ('or', 'worst') THEN ' FROM pg_catalog.set_config(''lock_timeout'', ''2s'', true)' ELSE '' END),
			coalesce(', ' || nullif(passed, ''), '')) AS asked
	FROM functions) f LEFT JOIN rows_of r ON r.oid = f.oid
WHERE NOT f.by_room AND f.rule <> 'absent' ORDER BY f.name, f.types DESC;
SELECT format(E'\n-- Not here: %s(%s). Call it on each shard.', name, types) FROM functions WHERE rule = 'absent' ORDER BY name, types;

SELECT E'\n--\n-- Views: the rows of all shards\n--';
SELECT format(E'\nCREATE FUNCTION @schema@._%s(%s, OUT shard int)\n\tRETURNS SETOF record\n\tLANGUAGE plpgsql VOLATILE %s\n'
		'#variable_conflict use_column\n%s\n%s\n\n'
		'CREATE VIEW @schema@.%I AS\n\tSELECT * FROM @schema@._%s()%s;\n%s',
		v.name, r.declared, :'attributes',
		pg_temp.on_all('', format('''SELECT %s FROM @schema@.%I x''', r.selected, v.name), '60', NULL,
			format(E'\t\t\tRETURN QUERY SELECT x.*, _shard FROM gxy_dblink.dblink_get_result(_link) AS x (%s);\n', r.defined), '', v.name),
		pg_temp.closing('FUNCTION', format('@schema@._%s()', v.name), 'rows of ' || v.shown,
			(SELECT array_agg(makeaclitem(g.grantee, g.grantor, 'EXECUTE', false))
				FROM aclexplode(v.acl) g WHERE g.privilege_type = 'SELECT'), v.owner),
		v.shown, v.name, CASE WHEN v.name = 'balancer_alerts' THEN E'\n\tUNION ALL\n\tSELECT * FROM @schema@._shard_alerts()' ELSE '' END,
		pg_temp.closing('VIEW', format('@schema@.%I', v.shown),
			format('%s, with a row for each shard that has one', v.name),
			(SELECT array_agg(makeaclitem(g.grantee, g.grantor, g.privilege_type, false))
				FROM aclexplode(v.acl) g WHERE g.privilege_type = 'SELECT'), v.owner))
	|| CASE WHEN v.summed THEN format(E'\n\nCREATE VIEW @schema@.%I AS\n\tWITH s AS MATERIALIZED (SELECT *, row_number() OVER () AS n FROM @schema@._%s())\n'
		'\tSELECT %s\n\tFROM s r\n\tGROUP BY r.server ORDER BY min(r.n);\n%s', v.name, v.name,
		(SELECT string_agg(format('%s AS %I', CASE o.name WHEN 'state' THEN format('CASE WHEN (SELECT count(DISTINCT shard) FROM s) < (SELECT cardinality(@schema@._shards()))'
				' THEN replace(%s, ''drained'', ''draining'') ELSE %s END', c.expression, c.expression) ELSE c.expression END, o.name), E',\n\t\t' ORDER BY o.n)
			FROM outputs o JOIN columns c USING (name) WHERE o.oid = v.oid),
		pg_temp.closing('VIEW', format('@schema@.%I', v.name), v.comment || '; over all shards', v.acl, v.owner)) ELSE '' END
FROM (SELECT *, name || CASE WHEN summed THEN '_by_shard' ELSE '' END AS shown FROM relations) v JOIN rows_of r ON r.oid = v.oid
ORDER BY v.name;
SELECT E'\nCOMMIT;';
