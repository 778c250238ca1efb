# gxy_balancer: builds, installs and tests the extension, with PGXS.
#
# `make test` and `make demo` are meant to be the first command on a fresh machine. There may be no
# pg_config yet, so everything that needs PGXS is conditional, and those two install what is missing
# and start make again. The version is written in the control file only.

# The folder of this file, with a slash; empty if it is the current folder. Otherwise this is an
# out-of-tree build, with VPATH.
SOURCE := $(filter-out ./,$(dir $(firstword $(MAKEFILE_LIST))))

EXTENSION = gxy_balancer
MODULE_big = gxy_balancer
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" $(SOURCE)$(EXTENSION).control)
DATA = $(notdir $(wildcard $(SOURCE)$(EXTENSION)--*.sql))

# Every file of every folder. test/check-includes lists which may include which.
OBJS = $(patsubst $(SOURCE)%.cpp,%.o,$(sort $(wildcard $(SOURCE)src/*/*.cpp)) $(SOURCE)src/module.cpp)

# Inputs in sql/ and test/isolation/specs/. Both lists must be complete: `make check-lists`.
REGRESS = \
	install \
	pool \
	sticky \
	placement \
	leader \
	sessions \
	cleanup \
	errors \
	attach \
	attached_rooms \
	security \
	owners \
	search_path \
	explain \
	what_if \
	rebalance \
	app_dml \
	kept_locks \
	altered_tables \
	reentry \
	odd_times \
	server_state \
	measured \
	recovery \
	failovers \
	console \
	metrics \
	alerts \
	now \
	room_sizes
ISOLATION = \
	app-delete \
	app-insert \
	app-lock \
	app-truncate \
	app-update \
	assign-caught \
	assign-cleanup \
	assign-deadlock \
	assign-different-rooms \
	assign-same-room \
	cleanup-cleanup \
	cleanup-expired \
	cleanup-holds \
	cleanup-recheck \
	cleanup-snapshot \
	count-in-flight \
	declarations \
	evacuate \
	evacuate-moved \
	failover-claim \
	failover-locked \
	failover-on-call \
	failover-spread \
	known-room \
	old-snapshot \
	parallel \
	pin-many \
	placed-meanwhile \
	pool-edit \
	pool-first-write \
	pool-locked \
	pool-under-lock \
	rebalance \
	rebalance-freed \
	reindex \
	release-assign \
	renewal-cleanup \
	room-servers \
	room-sizes \
	row-changed \
	serializable \
	serializable-pool \
	server-removal \
	sources \
	sticky-sticky \
	table-lock \
	target-lost \
	timeout \
	timeout-first-call \
	timeout-placement \
	timeout-recheck \
	touch-cleanup \
	touch-touch \
	truncate-holder

# Specs that need a server with the load cache: inputs in test/load_cache/specs.
LOAD_CACHE = \
	load-cache-cleanup \
	load-cache-count \
	load-cache-exact \
	load-cache-measured \
	load-cache-rooms \
	load-cache-same-room \
	load-cache-transactions

# Where pg_regress writes; a caller who may not write here gets a folder under TMPDIR.
OUTPUT_DIR ?= $(shell test -w test && echo test/output || echo "$${TMPDIR:-/tmp}/$(EXTENSION)-$$(id -un)")
REGRESS_PREP = output-dirs installcheck-databases
REGRESS_OPTS = --inputdir=$(SOURCE). --outputdir=$(OUTPUT_DIR)/regress --use-existing
ISOLATION_OPTS = --inputdir=$(SOURCE)test/isolation --outputdir=$(OUTPUT_DIR)/isolation --use-existing $(LIMITED)
# SPEC_LIMIT: seconds after which a spec of several sessions is ended.
LIMITED = $(if $(SPEC_LIMIT),--launcher='timeout $(SPEC_LIMIT)')

# No exceptions and no static guards: an ereport() is a longjmp, and the C++ runtime is not linked.
# WERROR=1 is for CI.
CXX_STANDARD = -std=c++20
WARNINGS = -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror)
override PG_CPPFLAGS += -I$(SOURCE)src -DGXY_VERSION='"$(EXTVERSION)"'
PG_CXXFLAGS = $(CXX_STANDARD) -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-semantic-interposition \
	$(WARNINGS) $(CLANG_CXXFLAGS)
# Flags from the environment, such as those of dpkg-buildflags, are added: PGXS replaces them by its own.
$(foreach flags,CXXFLAGS CPPFLAGS LDFLAGS,$(eval GIVEN_$(flags) := $(if $(findstring environment,$(origin $(flags))),$($(flags)))))
# SANITIZE=undefined: undefined behaviour ends the backend, and the server's log says where. After
# `make clean`, because objects of both kinds have the same names. -fno-rtti leaves out the types
# that the check vptr needs; the library of the checks needs the C++ runtime.
ifneq (,$(SANITIZE))
PG_CXXFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize=vptr -fno-sanitize-recover=all
# With address both libraries are preloaded (test/checked).
SHLIB_LINK += -fsanitize=$(SANITIZE) $(if $(findstring address,$(SANITIZE)),,-static-libubsan) -lstdc++
endif
# PostgreSQL was configured for gcc; clang does not know some of its warning options.
CLANG_CXXFLAGS = $(if $(findstring clang,$(CXX)),-Wno-unknown-warning-option)

EXTRA_CLEAN = build test/output
OUR_HEADERS = $(wildcard $(SOURCE)src/*/*.hpp)
FORMATTED = $(wildcard src/*.cpp src/*/*.cpp src/*/*.hpp test/*/*.cpp test/*/*.hpp)
CLANG_FORMAT ?= clang-format-14
PG_CONFIG ?= pg_config

# Both, because Debian has PGXS in the client's package and the headers in that of the server's
# development files.
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq (,$(and $(PGXS),$(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h)))

# Bitcode is for inlining by the JIT; it is left out if the server's clang is not installed. But
# `make uninstall` removes it, as clang may have been installed at `make install`.
ONLY_UNINSTALL := $(if $(filter-out uninstall,$(MAKECMDGOALS)),,$(MAKECMDGOALS))
SERVER_CLANG := $(shell sed -n 's/^CLANG *= *//p' $(dir $(PGXS))../Makefile.global)
HAVE_CLANG := $(and $(SERVER_CLANG),$(shell command -v $(SERVER_CLANG) 2>/dev/null))
ifeq (,$(or $(ONLY_UNINSTALL),$(HAVE_CLANG)))
override with_llvm = no
endif

include $(PGXS)

ifeq (older,$(shell test '$(MAJORVERSION)' -ge 15 2>/dev/null || echo older))
$(error gxy_balancer needs PostgreSQL 15 to 18, and $(PG_CONFIG) is of $(VERSION): name another with PG_CONFIG=/path/to/pg_config)
endif
ifeq (newer,$(shell test '$(MAJORVERSION)' -le 18 || echo newer))
$(warning gxy_balancer has been tested with PostgreSQL 15 to 18, and $(PG_CONFIG) is of $(VERSION))
endif

# No warnings for the server's headers.
override CPPFLAGS := $(patsubst -I$(includedir_server),-isystem $(includedir_server),$(CPPFLAGS))
override CPPFLAGS := $(patsubst -I/usr/%,-isystem /usr/%,$(CPPFLAGS))
BITCODE_CXXFLAGS += $(PG_CXXFLAGS)
override CXXFLAGS += $(GIVEN_CXXFLAGS)
override CPPFLAGS += $(GIVEN_CPPFLAGS)
override LDFLAGS += $(GIVEN_LDFLAGS)

# An out-of-tree build has its objects in the same folders below the current one. The folders are
# not targets: VPATH would find those of the source.
ifneq (,$(SOURCE))
$(shell mkdir -p $(dir $(OBJS)))
endif
$(OBJS): %.o: %.cpp
$(OBJS) $(OBJS:.o=.bc): $(OUR_HEADERS) $(SOURCE)Makefile

else

all install uninstall installcheck:
	$(error PostgreSQL's development files were not found. Install a C++ compiler and postgresql-server-dev-NN (on Debian `test/prepare` does), or name them with PG_CONFIG=/path/to/pg_config)

clean:
	rm -rf $(OBJS) $(OBJS:.o=.bc) $(MODULE_big).so $(EXTRA_CLEAN)

endif

.PHONY: reference check-reference output-dirs installcheck-databases installcheck-load-cache list-regress unit simulate test test-cluster test-faults test-fuzz test-interleavings demo demo-cluster demo-janus test-matrix packages stress bench test-mutants test-assertions test-sanitizers check-mutants check-objects check-includes check-unused-includes check-lists check-rows \
	check-version check-majors check-pgspot check-vpath check-bench check-usage test-coverage bench-doc check-format check-style format dist help

# As many jobs as processors, unless the caller has given a number.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# In a second make: pg_config may exist only after test/prepare.
RUN_reference = doc/reference && examples/plproxy/generate
RUN_demo = examples/demo $(DEMO)
RUN_demo-janus = examples/janus/demo $(DEMO)
RUN_test = test/run $(ONLY)
RUN_demo-cluster = examples/demo-cluster
RUN_test-cluster = test/run cluster $(ONLY)
RUN_test-fuzz = test/fuzz/run $(ONLY)
RUN_test-interleavings = test/interleavings/run $(ONLY)
RUN_test-mutants = test/mutants/run $(or $(ONLY),--all)
RUN_test-faults = FAULT_CYCLES=$(CYCLES) test/run faults $(ONLY)
CYCLES = 100
RUN_stress = test/stress/run --seconds $(SECONDS)
SECONDS = 600
RUN_bench = test/bench/run $(if $(FULL),--full) $(if $(CHECK),--check) $(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out $(OUT))

test test-cluster test-faults test-fuzz test-mutants test-interleavings demo demo-cluster demo-janus stress bench reference:
	@test/prepare $(or $(filter demo demo-janus bench,$@),$(if $(filter %-cluster,$@),cluster),$(if $(filter test-fuzz,$@),fuzz))
	@echo 'building for '"$$($(PG_CONFIG) --version)"
	@bash -o pipefail -c "$(MAKE) --no-print-directory $(JOBS) all | sed -un 's/.* \([^ ]*\.cpp\)\$$/  \1/p'"
	@sudo=; test -w "$$($(PG_CONFIG) --pkglibdir)" || sudo=sudo; \
	$$sudo $(MAKE) -s --no-print-directory install PG_CONFIG='$(PG_CONFIG)' >/dev/null
	@$(RUN_$@)

test-matrix:
	@test/matrix $(ONLY)

test-assertions test-sanitizers:
	@test/prepare
	@PG_CONFIG='$(PG_CONFIG)' test/checked $(patsubst test-%,%,$@) $(ONLY)

# PGXS has a target named coverage, which does nothing.
test-coverage:
	@PG_CONFIG='$(PG_CONFIG)' test/coverage $(ONLY)

packages:
	@test/prepare packages
	@PG_CONFIG='$(PG_CONFIG)' packaging/build $(if $(FULL),full,usual)

# Measures balance: the policy against traces and other policies, and the sweep that the defaults
# come from.
simulate:
	@test/prepare simulate
	@$(MAKE) -s --no-print-directory $(JOBS) -C test/sim simulate WERROR=$(WERROR)

# The pure C++ units and their tests, without PostgreSQL.
PURE_OBJS = $(patsubst src/policy/%.cpp,build/%.o,$(wildcard src/policy/*.cpp))
UNIT_OBJS = $(PURE_OBJS) $(patsubst test/unit/%.cpp,build/%.o,$(wildcard test/unit/*.cpp))
COMPILE_UNIT = $(CXX) $(CXX_STANDARD) -O1 -g $(WARNINGS) -Isrc -c

unit: build/unit
	build/unit

build/unit: $(UNIT_OBJS)
	$(CXX) -o $@ $^ -lgtest_main -lgtest -pthread

$(UNIT_OBJS): $(wildcard src/policy/*.hpp) $(wildcard test/unit/*.hpp) Makefile | build

$(PURE_OBJS): build/%.o: src/policy/%.cpp
	$(COMPILE_UNIT) -o $@ $<

build/%.o: test/unit/%.cpp
	$(COMPILE_UNIT) -o $@ $<

build:
	@mkdir -p $@

check-objects: all
	test/check-objects $(MODULE_big).so $(OBJS)

check-includes:
	test/check-includes

# Takes more than a minute of processor time.
check-unused-includes:
	PG_CONFIG='$(PG_CONFIG)' test/check-unused-includes

check-rows:
	test/check-rows

check-lists:
	test/check-lists REGRESS '$(REGRESS)' sql/*.sql
	test/check-lists ISOLATION '$(ISOLATION)' test/isolation/specs/*.spec
	test/check-lists LOAD_CACHE '$(LOAD_CACHE)' test/load_cache/specs/*.spec
	test/check-promises doc/reliability.md
	test/check-coverage

# Needs the extension installed.
check-reference:
	doc/reference --check

check-version:
	test/check-version '$(EXTVERSION)'

check-vpath: all
	test/check-vpath

check-majors:
	PG_CONFIG='$(PG_CONFIG)' test/check-majors

bench-doc:
	test/bench/document $(ONLY)

check-pgspot:
	test/check-pgspot

# Tests the checker of `make bench CHECK=1` with results written by hand.
check-bench:
	test/bench/check_test

# Each mutant's old text occurs in the sources, and its test exists.
check-mutants:
	test/mutants/catalogue check

# The programs of the tests refuse names and options that they do not know.
check-usage:
	test/check-usage

check-style:
	test/check-style

check-format:
	$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

format:
	$(CLANG_FORMAT) -i $(FORMATTED)

output-dirs:
	@mkdir -p $(OUTPUT_DIR)/regress $(OUTPUT_DIR)/isolation $(OUTPUT_DIR)/load_cache

# The tests work with the settings and the background worker of any server. SETTINGS: values other
# than the defaults, such as gxy_balancer.load_max_age=1h. The tests of sql/ write sessions and expect
# the next room to see them.
installcheck-databases:
	@$(if $(strip $(REGRESS)),PSQL='$(bindir)/psql' $(SOURCE)test/installcheck-database '$(CONTRIB_TESTDB)' gxy_balancer.load_max_age=0 $(SETTINGS))
	@$(if $(strip $(ISOLATION)),PSQL='$(bindir)/psql' $(SOURCE)test/installcheck-database '$(ISOLATION_TESTDB)' $(SETTINGS))

list-regress:
	@printf '%s\n' $(REGRESS)

# With the load cache, and a baseline that stays.
installcheck-load-cache:
	@$(MAKE) --no-print-directory installcheck REGRESS= ISOLATION='$(LOAD_CACHE)' \
		SETTINGS=gxy_balancer.load_max_age=1h \
		ISOLATION_OPTS="--inputdir=$(SOURCE)test/load_cache --outputdir=$(OUTPUT_DIR)/load_cache --use-existing $(LIMITED)"

# The archive for PGXN.
dist: check-version
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ -o $(EXTENSION)-$(EXTVERSION).zip HEAD

help:
	@echo 'make                  builds the extension for the PostgreSQL of PG_CONFIG=pg_config (15 to 18)'
	@echo 'make install          installs it into that PostgreSQL'
	@echo 'make installcheck     SQL and isolation tests on a running server, also one in use (PGHOST, PGPORT, PGUSER)'
	@echo 'make demo             a guided tour on a throwaway server (examples/demo); installs what the machine lacks;'
	@echo '                      DEMO=new: in the place of an earlier one'
	@echo 'make demo-janus       three real Janus servers, the API, a monitor, and clients: one server crashes, one hangs, one is'
	@echo '                      drained; DEMO=keep: goes on until Ctrl-C'
	@echo 'make test             every test on a throwaway server; installs what the machine lacks'
	@echo 'make test ONLY="tap 101"   one suite, or tests of it, as `test/run tap 101` does without building (see there)'
	@echo 'make demo-cluster     two shards with a standby each and a proxy; one primary is killed while clients call'
	@echo 'make test-cluster     several servers: shards (PL/Proxy), failures under Patroni (as root); needs more packages; ONLY=patroni: files of test/cluster'
	@echo 'make test-faults      processes killed and stopped, full disks, no locks: 100 kills (CYCLES=100); ONLY=kill: files of test/faults'
	@echo 'make test-fuzz        hostile arguments and rows, sqlsmith, libFuzzer: about a quarter of an hour; ONLY="--seed 7": options of test/fuzz/run'
	@echo 'make test-matrix      PostgreSQL 17 and 18, each in its own chroot, and pg_upgrade from 15 to both (as root);'
	@echo '                      ONLY=quick: fewer suites; ONLY="quick 16": see test/matrix'
	@echo 'make test-mutants     plants each mutant of test/mutants, and fails if its test passes; ONLY=lease-*: some'
	@echo 'make test-assertions  suites on a PostgreSQL with assertions, built from Debian'\''s source on the first run; ONLY=regress: some'
	@echo 'make test-sanitizers  suites with AddressSanitizer and UndefinedBehaviorSanitizer; ONLY=regress: some'
	@echo 'make packages         makes the packages and checks them, in build/packages; FULL=1: for PostgreSQL 17 and 18, too (as root)'
	@echo 'make test-interleavings   three sessions of four statements each in all of their orders; ONLY=sticky: one scenario;'
	@echo '                      test/interleavings/without: takes each mechanism out of a copy, and an order must fail'
	@echo 'make test-coverage    which branches of src/ the tests take, into build/coverage; ONLY="regress pgtap": some suites;'
	@echo '                      ONLY=--continue: what an interrupted run has counted stays'
	@echo 'make stress           ten minutes of many clients at once, judged by what they were told'
	@echo 'make bench            what calls cost beside what they replace, with a plot; FULL=1: longer; ONLY=sticky,new: rows;'
	@echo '                      CHECK=1: fails if a target is missed by more than is known (test/bench/shortfalls); OUT=build/bench/1'
	@echo 'make bench-doc        writes what it measured into doc/performance.md; ONLY="build/bench/1 build/bench/2": of several runs'
	@echo 'make simulate         how evenly the policy balances, against other policies: tables and plots (SEEDS=4: sooner)'
	@echo 'make unit             tests of the placement policy and of the learning rule alone'
	@echo 'make check-objects    the built objects need no C++ runtime'
	@echo 'make check-includes   includes point one way along the list of units'
	@echo 'make check-unused-includes   every file includes each header of ours that it uses, and no other'
	@echo 'make check-rows       columns of rows are read with a check of the null flag and the type'
	@echo 'make check-lists      every source and test is listed in the Makefile'
	@echo 'make check-version    META.json is valid; it, CHANGELOG.md and the packages have the version of the control file'
	@echo 'make check-majors     the build refuses PostgreSQL 14, and warns of 19'
	@echo 'make check-pgspot     pgspot finds no object of another role that the scripts would use or replace'
	@echo 'make check-vpath      an out-of-tree build gives the same files'
	@echo 'make check-bench      the judge of the benchmarks catches what is wrong in results made by hand'
	@echo 'make check-mutants    each mutant of test/mutants applies to the sources, and its test exists'
	@echo 'make check-usage      the programs of the tests refuse names and options that they do not know'
	@echo 'make check-style      files, functions and lines are short enough, and comments have none of the unclear words'
	@echo 'make check-format     clang-format agrees; make format: have it its way'
	@echo 'make reference        writes the lists of doc/reference.md and examples/plproxy/proxy.sql from the catalog;'
	@echo '                      make check-reference: whether the lists differ'
	@echo 'make dist             the archive for PGXN'
	@echo 'Settings: PG_CONFIG, CXX, WERROR=1, with_llvm=no, OUTPUT_DIR, SANITIZE=undefined (after make clean)'
