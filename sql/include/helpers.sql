/*
 * helpers.sql: what the tests of sql/ share. Each reads it in with \i, so that each can be run alone, and begins with a
 * new extension, so that they can be run in any order. All of it lives in pg_temp: nothing to clean up, and nothing in
 * the way of a test that is about names.
 */
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS gxy_balancer;
CREATE EXTENSION gxy_balancer;
RESET client_min_messages;

/*
 * Runs a statement that is to fail and tells how: SQLSTATE, message, detail, and hint unless that is not wanted. What
 * it did is undone; whether the extension undid its part is for the test to look at.
 */
CREATE PROCEDURE pg_temp.refused(statement text, with_hint boolean DEFAULT true) LANGUAGE plpgsql AS $$
DECLARE
	told text;
	more text;
BEGIN
	BEGIN
		EXECUTE statement;
		told := 'no error';
	EXCEPTION WHEN OTHERS THEN
		told := SQLSTATE || ': ' || SQLERRM;
		GET STACKED DIAGNOSTICS more = PG_EXCEPTION_DETAIL;
		told := told || coalesce(E'\nDETAIL:  ' || nullif(more, ''), '');
		GET STACKED DIAGNOSTICS more = PG_EXCEPTION_HINT;
		IF with_hint THEN
			told := told || coalesce(E'\nHINT:  ' || nullif(more, ''), '');
		END IF;
	END;
	RAISE INFO '%', told;
END
$$;

/* Makes every lease older, instead of waiting. */
CREATE PROCEDURE pg_temp.age(by interval) LANGUAGE sql AS $$
	UPDATE room_server_assignments SET assigned_at = assigned_at - $1, last_used_at = last_used_at - $1;
$$;

\set ECHO all
