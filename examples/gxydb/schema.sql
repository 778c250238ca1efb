/*
 * The conference service's own tables, as far as the balancer meets them.
 *
 * This is the shape of the real service's schema, cut down to what the examples need: a database to try the extension
 * on, without the service. In the service's own database skip this file and start with views.sql.
 *
 *     psql -X -v ON_ERROR_STOP=1 -d DATABASE -f schema.sql        -- as a superuser; may be run twice
 *
 * Two roles, neither of which can log in: gxydb_owner owns the tables, gxydb_api is what the API's login is a member
 * of. The balancer reads the tables as their owner and nothing of it is ever run as a superuser, so the owner should
 * not be one.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT format('CREATE ROLE %I NOLOGIN', r.name)
FROM (VALUES ('gxydb_owner'), ('gxydb_api')) r (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = r.name)
\gexec

GRANT USAGE, CREATE ON SCHEMA public TO gxydb_owner;
GRANT USAGE ON SCHEMA public TO gxydb_api;

SET ROLE gxydb_owner;

/* The media servers. Their names are what get_or_assign_server() answers. */
CREATE TABLE IF NOT EXISTS public.gateways (
	id bigserial PRIMARY KEY,
	name varchar(50) NOT NULL UNIQUE,
	description varchar(255),
	url varchar(1024) NOT NULL,
	type varchar(16) NOT NULL DEFAULT 'rooms',
	disabled boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz,
	removed_at timestamptz
);

/*
 * Everywhere outside this table a room is named by gateway_uid: in the media servers, the API and
 * the balancer.
 */
CREATE TABLE IF NOT EXISTS public.rooms (
	id bigserial PRIMARY KEY,
	name varchar(64) NOT NULL,
	default_gateway_id bigint NOT NULL REFERENCES public.gateways,
	gateway_uid varchar(255) NOT NULL UNIQUE,
	region varchar(16),
	extra jsonb,
	disabled boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz,
	removed_at timestamptz
);

CREATE TABLE IF NOT EXISTS public.users (
	id bigserial PRIMARY KEY,
	accounts_id varchar(36) NOT NULL UNIQUE,
	email varchar(255),
	username varchar(255),
	disabled boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz,
	removed_at timestamptz
);

/*
 * One row for each connection. room_id is NULL while its user is in no room; updated_at is set by
 * each report of the client; removed_at is set when it leaves. Ended sessions are not deleted one
 * by one: a nightly job truncates the table, whether or not rooms are in use.
 */
CREATE TABLE IF NOT EXISTS public.sessions (
	id bigserial PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES public.users,
	room_id varchar(255) REFERENCES public.rooms (gateway_uid),
	gateway_id bigint REFERENCES public.gateways,
	gateway_session bigint,
	gateway_handle bigint,
	gateway_feed varchar(255),
	gateway_handle_textroom bigint,
	display varchar(255),
	camera boolean NOT NULL DEFAULT false,
	question boolean NOT NULL DEFAULT false,
	self_test boolean NOT NULL DEFAULT false,
	sound_test boolean NOT NULL DEFAULT false,
	user_agent varchar(1024),
	ip_address inet,
	extra jsonb,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz,
	removed_at timestamptz
);
CREATE INDEX IF NOT EXISTS sessions_user_id_idx ON public.sessions (user_id);
CREATE INDEX IF NOT EXISTS sessions_room_id_idx ON public.sessions (room_id, created_at);

/*
 * Composites show several rooms at once. gateway_id is where a room was when the composite was put
 * together: a failover or a move makes it wrong.
 */
CREATE TABLE IF NOT EXISTS public.composites (
	id bigserial PRIMARY KEY,
	name varchar(16) NOT NULL UNIQUE,
	description varchar(255)
);
CREATE TABLE IF NOT EXISTS public.composites_rooms (
	composite_id bigint NOT NULL REFERENCES public.composites,
	room_id varchar(255) NOT NULL REFERENCES public.rooms (gateway_uid),
	gateway_id bigint NOT NULL REFERENCES public.gateways,
	position integer NOT NULL DEFAULT 0,
	PRIMARY KEY (composite_id, room_id, gateway_id, position)
);

/* What the API does by itself: it reads everything, and writes sessions. */
GRANT SELECT ON public.gateways, public.rooms, public.users, public.sessions, public.composites,
	public.composites_rooms TO gxydb_api;
GRANT INSERT, UPDATE ON public.sessions TO gxydb_api;
GRANT USAGE ON SEQUENCE public.sessions_id_seq TO gxydb_api;

RESET ROLE;
RESET client_min_messages;
