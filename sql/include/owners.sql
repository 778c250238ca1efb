/*
 * owners.sql: CALL pg_temp.give_away() gives each table of the extension to a role of its own,
 * regress_gxy_<table>, which puts code on the table wherever a table can have code. The code
 * records in spied.seen as which role it runs, and what it could do beyond that role's rights. The
 * extension must be in schema public.
 */
CREATE SCHEMA spied;
GRANT USAGE ON SCHEMA spied TO PUBLIC;
CREATE TABLE spied.seen (tab text, code text, role text, outcomes text);
GRANT INSERT ON spied.seen TO PUBLIC;
/* Disables the code while a test writes to a table itself. */
CREATE TABLE spied.armed AS SELECT false AS armed;
GRANT SELECT ON spied.armed TO PUBLIC;

/* Attempts of code that runs in another role's session to gain rights. */
CREATE FUNCTION spied.note(tab text, code text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	attempt text;
	outcomes text := '';
BEGIN
	IF NOT (SELECT armed FROM spied.armed) THEN
		RETURN true;
	END IF;
	FOREACH attempt IN ARRAY ARRAY['ALTER ROLE regress_gxy_balancer_pins SUPERUSER', 'SET ROLE postgres', 'RESET ROLE',
		'SET SESSION AUTHORIZATION DEFAULT', 'CREATE TEMPORARY TABLE left_behind (x int)', 'PREPARE left_behind AS SELECT 1']
	LOOP
		BEGIN
			EXECUTE attempt;
			outcomes := outcomes || ' allowed: ' || attempt;
		EXCEPTION WHEN insufficient_privilege OR undefined_object OR invalid_parameter_value THEN
			NULL;
		END;
	END LOOP;
	IF current_setting('search_path') <> 'pg_catalog, pg_temp' THEN
		outcomes := outcomes || ' search_path ' || current_setting('search_path');
	END IF;
	INSERT INTO spied.seen VALUES (tab, code, CURRENT_USER, outcomes);
	RETURN true;
END
$$;

/* Each owner has its own trigger function, and functions for constraints and indexes. */
CREATE PROCEDURE pg_temp.put_code_on(tab regclass, role text) LANGUAGE plpgsql AS $$
DECLARE
	col text := (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = tab AND attnum = 1);
	schema text := role;
BEGIN
	EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', schema, role);
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', schema);
	EXECUTE format('GRANT CREATE ON SCHEMA public TO %I', role);
	EXECUTE format('SET LOCAL ROLE %I', role);
	EXECUTE format('CREATE FUNCTION %I.fire() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN
		PERFORM spied.note(%L, ''trigger''); RETURN coalesce(NEW, OLD); END$f$', schema, tab);
	EXECUTE format('CREATE FUNCTION %I.check(any_value anyelement) RETURNS boolean LANGUAGE plpgsql AS $f$BEGIN
		PERFORM spied.note(%L, ''check''); RETURN true; END$f$', schema, tab);
	EXECUTE format('CREATE FUNCTION %I.key(any_value anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE AS $f$BEGIN
		PERFORM spied.note(%L, ''index''); RETURN any_value; END$f$', schema, tab);
	EXECUTE format('CREATE FUNCTION %I.predicate(any_value anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $f$BEGIN
		PERFORM spied.note(%L, ''predicate''); RETURN true; END$f$', schema, tab);
	EXECUTE format('CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
		EXECUTE FUNCTION %I.fire()', tab, schema);
	EXECUTE format('CREATE TRIGGER after_row AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
		EXECUTE FUNCTION %I.fire()', tab, schema);
	EXECUTE format('CREATE TRIGGER before_statement BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION %I.fire()', tab,
		schema);
	EXECUTE format('ALTER TABLE %s ADD CHECK (%I.check(%s))', tab, schema, col);
	EXECUTE format('CREATE INDEX ON %s (%I.key(%s)) WHERE %2$I.predicate(%3$s)', tab, schema, col);
	RESET ROLE;
	EXECUTE format('REVOKE CREATE ON SCHEMA public FROM %I', role);
END
$$;

CREATE PROCEDURE pg_temp.give_away() LANGUAGE plpgsql SET client_min_messages = warning AS $$
DECLARE
	tab regclass;
	role text;
BEGIN
	FOR tab IN SELECT c.oid FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
		WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND c.relkind = 'r'
			AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'gxy_balancer')
	LOOP
		role := 'regress_gxy_' || (SELECT relname FROM pg_class WHERE oid = tab);
		EXECUTE format('DROP ROLE IF EXISTS %I', role);
		EXECUTE format('CREATE ROLE %I', role);
		EXECUTE format('ALTER TABLE %s OWNER TO %I', tab, role);
		CALL pg_temp.put_code_on(tab, role);
	END LOOP;
	UPDATE spied.armed SET armed = true;
END
$$;
