-- The guided tour of `make demo`: a conference service in two minutes. Each step says what it shows, then shows it.
\pset null '-'
\pset border 1

\echo
\echo 'gxy_balancer answers one question: which media server is this room on?'
\echo
CREATE EXTENSION gxy_balancer;

\echo '1. The first caller of a room has it assigned; everyone after gets the same answer.'
\echo '   SELECT get_or_assign_server(2171);'
SELECT get_or_assign_server(2171) AS first_user, get_or_assign_server(2171) AS second_user;

\echo '2. Three servers of our own instead of the twelve of gxy_balancer.default_servers: the pool is a table.'
SELECT release_room(2171);
INSERT INTO balancer_servers (name, capacity, regions)
	VALUES ('gxy1', 400, NULL), ('gxy2', 400, NULL), ('gxy3', 200, '{IL}');
SELECT name, position, capacity, regions, state FROM balancer_servers ORDER BY position;

\echo '3. Thirty rooms at once: balanced, although not one of their users has joined yet. gxy3 is kept for its region.'
SELECT server, count(*) AS rooms
	FROM (SELECT get_or_assign_server(room) AS server FROM generate_series(1, 30) AS room) AS calls
	GROUP BY server ORDER BY server;
SELECT get_or_assign_server('tel-aviv', 'IL') AS room_of_region_il;

\echo '4. The application''s own sessions are what a server carries: a view says where they are.'
CREATE TABLE sessions (room_id bigint, user_id bigint, gateway_name text);
INSERT INTO sessions SELECT 1, u, get_or_assign_server(1) FROM generate_series(1, 250) AS u;
SELECT attach_sessions('sessions');
SELECT * FROM balancer_load;

\echo '5. Why would the next room go where it goes?'
SELECT * FROM explain_assignment(4711);

\echo '6. A server to be serviced keeps its rooms and gets no new ones.'
UPDATE balancer_servers SET state = 'draining' WHERE name = 'gxy1';
SELECT server, count(*) AS new_rooms
	FROM (SELECT get_or_assign_server(room) AS server FROM generate_series(101, 110) AS room) AS calls
	GROUP BY server ORDER BY server;

\echo '7. Rooms that nobody uses any more are freed; the one with users stays.'
SELECT clean_inactive_assignments('0') AS freed;
SELECT room_id, server, users, last_used FROM balancer_rooms;
\echo 'That was it: README.md says how to install it on a server of yours.'
