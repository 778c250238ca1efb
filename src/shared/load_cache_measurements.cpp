/*
 * load_cache_measurements.cpp: the measured loads of the servers.
 *
 * A heartbeat's measurement goes to the server's slot when its transaction commits, so new rooms
 * see it at once, though the row of balancer_health is written at most once a second. It is not
 * part of the sums: a later one replaces it, and a count does not change it. After a restart the
 * first count takes the rows' measurements. No callback runs at COMMIT PREPARED, so a measurement
 * of a prepared transaction is known by its row alone, from the next count on.
 */
#include "pg/array.hpp"
#include "pg/compat.hpp"
#include "policy/failure_detector.hpp"
#include "shared/load_cache.hpp"
#include "shared/load_cache_layout.hpp"

namespace gxy
{
namespace
{

/* A measurement of the current transaction. */
struct Report
{
	int slot;
	int level; /* nest level of the (sub)transaction */
	Oid table;
	Measurement measurement;
};

/* One for each server and nest level, in TopMemoryContext; levels never decrease. */
Array<Report> reports;

/* Enters a report into the list, which has space for it. */
void
enter(const Report &report)
{
	for (int i = reports.count - 1; i >= 0 && reports[i].level == report.level; i--)
		if (reports[i].slot == report.slot)
		{
			reports[i] = report;
			return;
		}
	reports.push(report);
}

/*
 * Stores a measurement unless the slot has a newer one. One from the future was made before the
 * clock was set back. The caller holds the lock.
 */
void
store(LoadCache *cache, Oid table, int slot, Measurement measurement, TimestampTz now)
{
	ServerSlot &server = slot_at(cache, slot);

	if (server.measurement_table == table && server.measurement.at > measurement.at &&
		server.measurement.at <= now)
		return;
	server.measurement = measurement;
	server.measurement_table = table;
	cache->measured_at = std::max(cache->measured_at, measurement.at);
}

void
store_reports()
{
	LoadCache *cache = load_cache();
	TimestampTz now = GetCurrentTimestamp();

	locked_in_callback(cache, [=] {
		for (const Report &report : reports)
			store(cache, report.table, report.slot, report.measurement, now);
	});
}

/* Returns the index of the first report of a nest level or a deeper one. */
int
first_at(int level)
{
	int first = reports.count;

	while (first > 0 && reports[first - 1].level >= level)
		first--;
	return first;
}

/* The list becomes no longer, so there is space. */
void
hand_to_parent(int level)
{
	int first = first_at(level);
	int count = reports.count;

	reports.count = first;
	for (int i = first; i < count; i++)
	{
		Report report = reports[i];

		report.level = level - 1;
		enter(report);
	}
}

extern "C"
{
	static void at_transaction_end(XactEvent event, void *)
	{
		if (event == XACT_EVENT_COMMIT && reports.count > 0)
			store_reports();
		if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
			reports.count = 0;
	}

	static void at_subtransaction_end(SubXactEvent event, SubTransactionId, SubTransactionId,
									  void *)
	{
		int level = GetCurrentTransactionNestLevel();

		if (event == SUBXACT_EVENT_ABORT_SUB)
			reports.count = first_at(level);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			hand_to_parent(level);
	}
}

void
register_callbacks()
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, nullptr);
	RegisterSubXactCallback(at_subtransaction_end, nullptr);
	registered = true;
}

} // namespace

void
record_measurement(Oid table, std::string_view server, Measurement measurement)
{
	LoadCache *cache = load_cache();
	int slot = cache != nullptr ? server_slot(cache, name_hash(server)) : -1;

	if (slot < 0)
		return;
	register_callbacks();

	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	reports.make_space();
	MemoryContextSwitchTo(caller);
	enter(Report{.slot = slot,
				 .level = GetCurrentTransactionNestLevel(),
				 .table = table,
				 .measurement = measurement});
}

void
take_newer_measurement(LoadCache *cache, Oid table, std::uint64_t server, Measurement *measurement)
{
	int slot = find_server_slot(cache, server);

	if (slot < 0)
		return;
	locked(cache, [=] {
		const ServerSlot &found = slot_at(cache, slot);

		if (found.measurement_table == table && found.measurement.at > measurement->at)
			*measurement = found.measurement;
	});
}

void
restore_measurement(LoadCache *cache, Oid table, int slot, Measurement measurement)
{
	TimestampTz now = GetCurrentTimestamp();

	locked(cache, [=] { store(cache, table, slot, measurement, now); });
}

} // namespace gxy
