/*
 * install.cpp: implements the functions that only the install script calls.
 */
#include "api/install.hpp"

#include "pg/compat.hpp"
#include "pg/settings.hpp"

namespace gxy
{

void
refuse_existing_table()
{
	List *path = fetch_search_path(false);
	Oid schema = linitial_oid(path);
	const char *table = "room_server_assignments";

	if (!OidIsValid(get_relname_relid(table, schema)))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_DUPLICATE_TABLE),
		 errmsg("table %s exists already",
				quote_qualified_identifier(get_namespace_name(schema), table)),
		 errdetail("The extension brings a table of this name, with the same first five columns."),
		 errhint("In one transaction: ALTER TABLE %s RENAME TO old_assignments; CREATE EXTENSION "
				 "gxy_balancer; INSERT INTO room_server_assignments SELECT ... FROM "
				 "old_assignments (timestamps AT TIME ZONE 'UTC'); GRANT the application its "
				 "rights on it; "
				 "DROP TABLE old_assignments. The statements are in doc/taking-over.md.",
				 table)));
}

namespace
{

/*
 * CREATE EXTENSION raises client_min_messages to WARNING to hide the notices of its script. Calls f
 * with client_min_messages "notice" if notices were shown before the command, so that the DBA sees
 * the notices of f. Works only when called directly by the install script: it expects the saved
 * value of the command at the GUC nest level below its own.
 */
template <typename F>
void
with_notices(F f)
{
	int level = NewGUCNestLevel();
	const config_generic *setting = compat::find_setting("client_min_messages");
	const GucStack *saved = setting != nullptr ? setting->stack : nullptr;
	bool raised_by_command = saved != nullptr && saved->nest_level == level - 1;

	if (raised_by_command && saved->prior.val.enumval <= NOTICE)
		(void) set_config_option("client_min_messages", "notice", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	f();
	AtEOXact_GUC(true, level);
}

} // namespace

void
notice_default_pool()
{
	with_notices([] {
		ereport(NOTICE, (errmsg("no servers have been named yet, so rooms go to those of "
								"gxy_balancer.default_servers"),
						 errdetail("It is \"%s\".", setting::default_servers),
						 errhint("SELECT init_servers('name, name') writes your pool.")));
	});
}

} // namespace gxy
