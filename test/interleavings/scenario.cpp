/*
 * scenario.cpp: reads the file of a scenario.
 */
#include "scenario.hpp"

#include <algorithm>
#include <cctype>
#include <set>

namespace interleavings
{
namespace
{

bool
is_sqlstate(const std::string &word)
{
	return word.size() == 5 &&
		   std::none_of(word.begin(), word.end(), [](unsigned char c) { return std::islower(c); });
}

class Parser
{
public:
	explicit Parser(std::string_view text) : text(text) {}

	bool parse(Scenario *scenario);
	std::string error;

private:
	bool fail(const std::string &what);
	void skip_space();
	bool at_end();
	std::string word(); /* a keyword, a name, an SQLSTATE; empty if there is none */
	std::string peek();
	bool block(std::string *content);  /* { ... } */
	bool quoted(std::string *content); /* "..." */
	std::string rest_of_line();
	bool entry(Scenario *scenario, const std::string &keyword);
	bool statement(SessionScript *session, const std::string &name);
	bool rules(Statement *statement);
	bool check_whole(const Scenario &scenario);

	std::string_view text;
	std::size_t at = 0;
};

bool
Parser::fail(const std::string &what)
{
	auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n') + 1;

	if (error.empty())
		error = "line " + std::to_string(line) + ": " + what;
	return false;
}

void
Parser::skip_space()
{
	while (at < text.size())
	{
		if (text[at] == '#')
			while (at < text.size() && text[at] != '\n')
				at++;
		else if (std::isspace(static_cast<unsigned char>(text[at])))
			at++;
		else
			break;
	}
}

bool
Parser::at_end()
{
	skip_space();
	return at >= text.size();
}

std::string
Parser::word()
{
	std::string found;

	skip_space();
	while (at < text.size() &&
		   (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_'))
		found += text[at++];
	return found;
}

std::string
Parser::peek()
{
	std::size_t before = at;
	std::string found = word();

	at = before;
	return found;
}

bool
Parser::block(std::string *content)
{
	int depth = 0;

	skip_space();
	if (at >= text.size() || text[at] != '{')
		return fail("{ is missing");
	for (std::size_t start = at + 1; at < text.size(); at++)
	{
		depth += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
		if (depth == 0)
		{
			*content = text.substr(start, at++ - start);
			return true;
		}
	}
	return fail("} is missing");
}

bool
Parser::quoted(std::string *content)
{
	skip_space();
	if (at >= text.size() || text[at] != '"')
		return fail("a text in \" is missing");

	std::size_t end = text.find('"', at + 1);

	if (end == std::string_view::npos)
		return fail("\" is missing");
	*content = text.substr(at + 1, end - at - 1);
	at = end + 1;
	return true;
}

std::string
Parser::rest_of_line()
{
	std::size_t end = std::min(text.find_first_of("#\n", at), text.size());
	std::string found(text.substr(at, end - at));

	at = end;
	return found;
}

/* "never waits" and "may fail SQLSTATE...", in any order, with commas between them. */
bool
Parser::rules(Statement *statement)
{
	for (;;)
	{
		std::size_t before = at;
		std::string first = word();

		if (first == "never" && word() == "waits")
			statement->never_waits = true;
		else if (first == "may" && word() == "fail")
		{
			for (std::string state = peek(); is_sqlstate(state); state = peek())
				statement->errors.push_back(word());
			if (statement->errors.empty())
				return fail("\"may fail\" without an SQLSTATE");
		}
		else
		{
			at = before;
			return true;
		}
		skip_space();
		if (at < text.size() && text[at] == ',')
			at++;
	}
}

bool
Parser::statement(SessionScript *session, const std::string &name)
{
	Statement read;

	read.name = name;
	if (name == "go" && peek() == "on")
	{
		word();
		read.name = session->name + "_goes_on";
		read.kind = Kind::release;
	}
	else if (!block(&read.sql))
		return false;
	if (!rules(&read))
		return false;
	session->statements.push_back(read);
	return true;
}

bool
Parser::entry(Scenario *scenario, const std::string &keyword)
{
	if (keyword == "guarantee")
		return quoted(&scenario->guarantee);
	if (keyword == "setting")
	{
		scenario->settings.push_back(rest_of_line());
		return true;
	}
	if (keyword == "setup")
		return block(&scenario->setup.emplace_back());
	if (keyword == "reset")
		return block(&scenario->resets.emplace_back());
	if (keyword == "session")
	{
		scenario->sessions.push_back({.name = word(), .statements = {}});
		return !scenario->sessions.back().name.empty() || fail("a session has no name");
	}
	if (keyword == "check")
	{
		Check &check = scenario->checks.emplace_back();

		return quoted(&check.title) && block(&check.sql);
	}
	if (keyword == "give" && word() == "up")
		return scenario->gives_up = true;
	if (keyword == "needs" && word() == "pauses")
		return scenario->needs_pauses = true;
	if (scenario->sessions.empty())
		return fail("\"" + keyword + "\" is no entry");
	return statement(&scenario->sessions.back(), keyword);
}

bool
Parser::check_whole(const Scenario &scenario)
{
	std::set<std::string> names;

	if (scenario.guarantee.empty())
		return fail("it names no guarantee");
	if (scenario.sessions.empty())
		return fail("it has no session");
	if (scenario.checks.empty())
		return fail("it checks nothing");
	for (const SessionScript &session : scenario.sessions)
	{
		if (session.statements.empty())
			return fail("session " + session.name + " has no statement");
		for (const Statement &statement : session.statements)
			if (statement.kind == Kind::sql && !names.insert(statement.name).second)
				return fail("two statements have the name " + statement.name);
	}
	return true;
}

bool
Parser::parse(Scenario *scenario)
{
	while (!at_end())
	{
		std::string keyword = word();

		if (keyword.empty())
			return fail("a word is missing");
		if (!entry(scenario, keyword))
			return fail("a mistake after \"" + keyword + "\"");
	}
	return check_whole(*scenario);
}

} // namespace

Counts
Scenario::counts() const
{
	Counts counts;

	for (const SessionScript &session : sessions)
		counts.push_back(static_cast<int>(session.statements.size()));
	return counts;
}

bool
SessionScript::has_gate() const
{
	return std::any_of(statements.begin(), statements.end(),
					   [](const Statement &statement) { return statement.kind == Kind::release; });
}

bool
Scenario::has_gates() const
{
	return std::any_of(sessions.begin(), sessions.end(),
					   [](const SessionScript &session) { return session.has_gate(); });
}

bool
Scenario::prepares() const
{
	for (const SessionScript &session : sessions)
		for (const Statement &statement : session.statements)
			if (statement.sql.find("PREPARE TRANSACTION") != std::string::npos)
				return true;
	return false;
}

std::optional<Scenario>
parse_scenario(std::string_view name, std::string_view text, std::string *error)
{
	Scenario scenario;
	Parser parser(text);

	scenario.name = name;
	if (parser.parse(&scenario))
		return scenario;
	*error = parser.error;
	return std::nullopt;
}

} // namespace interleavings
