/*
 * source_columns.hpp: which of the columns that the extension reads does a relation have.
 *
 * Relation of sessions: room_id, user_id; optional: gateway_name, last_seen_at timestamptz.
 * Relation of rooms: room_id; optional: expected_users, region, home_server, servers text[].
 */
#pragma once

#include "pg/compat.hpp"

namespace gxy
{

enum class Source
{
	sessions,
	rooms
};

/* Returns "sessions" or "rooms". */
const char *name_of(Source source);

/* The type that ids are read as. Every type can be read as text, but that is the slowest. */
enum class IdForm
{
	text,
	integer,
	uuid
};

/* The columns of a source. */
struct SourceColumns
{
	const char *complaint = nullptr; /* why the relation cannot be a source, as a sentence */
	bool integer_room = false;		 /* room_id is smallint, integer or bigint */
	IdForm user = IdForm::text;
	bool gateway = false;	/* has gateway_name */
	bool last_seen = false; /* has last_seen_at */
	bool expected = false;	/* has expected_users */
	bool region = false;	/* has region */
	bool home = false;		/* has home_server */
	bool servers = false;	/* has servers */
};

/* Returns true for a table, partitioned table, foreign table, view or materialized view. */
bool is_table_or_view(Oid relation);

/* Looks up the columns of a relation. The caller holds a lock on it. */
SourceColumns source_columns_of(Source source, Oid relation);

} // namespace gxy
