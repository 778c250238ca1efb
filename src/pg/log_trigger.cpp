/*
 * log_trigger.cpp: recognizes pg_repack's trigger.
 */
#include "pg/log_trigger.hpp"

namespace gxy
{
namespace
{

bool
has_its_name(const Trigger &trigger)
{
	return std::strcmp(trigger.tgname, "repack_trigger") == 0;
}

bool
belongs_to_repack(Oid function)
{
	Oid extension = getExtensionOfObject(ProcedureRelationId, function);

	if (!OidIsValid(extension))
		return false;

	const char *name = get_extension_name(extension);

	return name != nullptr && std::strcmp(name, "pg_repack") == 0;
}

} // namespace

bool
is_log_trigger(const Trigger &trigger)
{
	return has_its_name(trigger) && belongs_to_repack(trigger.tgfoid);
}

bool
has_log_trigger(Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;

	if (triggers == nullptr)
		return false;

	const std::span<const Trigger> all(triggers->triggers, triggers->numtriggers);
	const auto found = std::find_if(all.begin(), all.end(), has_its_name);

	/* Reading the catalogs may rebuild the relcache entry, which frees its triggers. */
	return found != all.end() && belongs_to_repack(found->tgfoid);
}

ResultRelInfo *
target_with_log_trigger(Relation table)
{
	ResultRelInfo *target = makeNode(ResultRelInfo);

	InitResultRelInfo(target, table, 0, nullptr, 0);

	TriggerDesc *triggers = target->ri_TrigDesc; /* a copy */
	Trigger *end = std::remove_if(triggers->triggers, triggers->triggers + triggers->numtriggers,
								  [](const Trigger &trigger) { return !has_its_name(trigger); });

	triggers->numtriggers = static_cast<int>(end - triggers->triggers);
	return target;
}

} // namespace gxy
