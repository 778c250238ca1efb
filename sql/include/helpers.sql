/*
 * helpers.sql: functions that the tests of sql/ share. Each test includes it with \i and creates
 * the extension anew, so tests can run alone and in any order. All functions are in pg_temp: they
 * need no cleanup, and do not disturb tests about names.
 */
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS gxy_balancer;
CREATE EXTENSION gxy_balancer;
RESET client_min_messages;

/*
 * Runs a statement that must fail and reports SQLSTATE, message, detail, and hint unless that is
 * switched off. Its changes are undone; the test checks whether the extension undid its part.
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
