/*
 * columns.hpp: column numbers of the extension's tables.
 *
 * In the order of the install script. catalog.cpp checks that the tables still have them in this
 * order; a DBA may add more.
 */
#pragma once

namespace gxy
{

enum AssignmentsColumn
{
	assignments_room = 1,
	assignments_server,
	assignments_region,
	assignments_assigned_at,
	assignments_last_used_at,
	assignments_reason,
	assignments_expected_users,
	assignments_reported_users
};

enum ServersColumn
{
	servers_name = 1,
	servers_position,
	servers_priority,
	servers_capacity,
	servers_regions,
	servers_pool,
	servers_state
};

enum PinsColumn
{
	pins_room = 1,
	pins_server,
	pins_expected_users
};

enum SourcesColumn
{
	sources_source = 1,
	sources_schema,
	sources_relation
};

enum RoomSizesColumn
{
	room_sizes_room = 1,
	room_sizes_size,
	room_sizes_occasions,
	room_sizes_peak,
	room_sizes_assigned_at,
	room_sizes_opened_at,
	room_sizes_updated_at
};

enum HealthColumn
{
	health_server = 1,
	health_healthy,
	health_since,
	health_last_heartbeat,
	health_counts_from,
	health_load,
	health_load_at,
	health_recovered_at,
	health_differs_since
};

enum FailoversColumn
{
	failovers_from = 1,
	failovers_to,
	failovers_declared_at,
	failovers_due_at,
	failovers_cause,
	failovers_rooms,
	failovers_outcome,
	failovers_finished_at,
	failovers_recovered_at,
	failovers_on_call
};

enum MovedOnCallColumn
{
	moved_on_call_room = 1,
	moved_on_call_from,
	moved_on_call_to,
	moved_on_call_at
};

enum DrainedServersColumn
{
	drained_servers_server = 1,
	drained_servers_since
};

} // namespace gxy
