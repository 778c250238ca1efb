# For Makefiles of clients: ordinary C++20 with libpq, nothing of the extension is linked in.
#
# The including Makefile sets BUILD and CXXFLAGS before. Compiles FILE.cpp to $(BUILD)/FILE.o; $(call objects,FILE...)
# are such objects, $(TESTS) the files with tests, and $(LIBPQ) links with libpq.

PG_CONFIG ?= pg_config
ALL_CXXFLAGS := -std=c++20 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) $(CXXFLAGS) -I. \
	-isystem $(shell $(PG_CONFIG) --includedir) -isystem /usr/include/postgresql -MMD -MP
LIBPQ := -L$(shell $(PG_CONFIG) --libdir) -lpq

TESTS = $(patsubst %.cpp,%,$(wildcard *_test.cpp))
objects = $(addprefix $(BUILD)/,$(addsuffix .o,$(1)))

$(BUILD)/%.o: %.cpp Makefile
	@mkdir -p $(BUILD)
	$(CXX) $(ALL_CXXFLAGS) -c -o $@ $<

-include $(wildcard $(BUILD)/*.d)
