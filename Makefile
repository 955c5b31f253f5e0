# Every command for people is a target here; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := all

CC ?= gcc
VERSION := $(file <VERSION)
PACKAGES := $(shell sed -n 's/^\([a-z]*\):.*/\1/p' pkg/DEPS)
# A package and everything that it may include, directly or not; the lowest come first in pkg/DEPS.
$(foreach p,$(PACKAGES),$(eval deps_$(p) := $(sort $(p) $(foreach d,$(shell sed -n 's/^$(p): *//p' pkg/DEPS),$(deps_$(d))))))
deps_of = $(deps_$(1))
BINARIES := pgsync-operator pgsync kubectl-pgsync bookstore

PQ_CFLAGS := -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wformat=2 \
            -Wimplicit-fallthrough -Wundef
CPPFLAGS := -D_GNU_SOURCE -DPGSYNC_VERSION='"$(VERSION)"' -Ipkg $(PQ_CFLAGS)
BASE_CFLAGS := -std=gnu17 -g -fno-common -fstack-protector-strong -include base/banned.h $(WARNINGS)
LIBRARIES := -lpq -lcurl -lyaml -ljansson -lmicrohttpd -lhiredis -lssl -lcrypto -lpthread -lm

# What ships is hardened; hack/hardened looks whether it is.
MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
BRANCHES_x86_64 := -fcf-protection=full
BRANCHES_aarch64 := -mbranch-protection=standard
SHADOW_STACKS_x86_64 := -Wl,-z,shstk
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-clash-protection -ftrivial-auto-var-init=zero \
             $(BRANCHES_$(MACHINE))
HARDENED_LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SHADOW_STACKS_$(MACHINE))

# Flavours of every object: what ships; what the unit tests run under ASan, UBSan and LSan; what ships, with failpoints
# (pkg/base/failpoint.h); what runs under ThreadSanitizer; what counts which lines ran.
FLAVOURS := release test failpoint tsan coverage
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
release_CFLAGS := $(BASE_CFLAGS) $(HARDENING) -O2 -fPIE
test_CFLAGS := $(BASE_CFLAGS) -O1 $(SANITIZE) -fno-omit-frame-pointer -DPGSYNC_FAILPOINTS
failpoint_CFLAGS := $(release_CFLAGS) -DPGSYNC_FAILPOINTS
tsan_CFLAGS := $(BASE_CFLAGS) -O1 -fsanitize=thread -fno-omit-frame-pointer -fPIE -DPGSYNC_FAILPOINTS
coverage_CFLAGS := $(BASE_CFLAGS) -O0 --coverage -DPGSYNC_FAILPOINTS
FUZZ_CC := clang-14

B := build
# A package's library holds all its files but tests and fuzz targets.
sources = $(filter-out %_test.c %_fuzz.c,$(wildcard pkg/$(1)/*.c))
objects = $(patsubst %.c,$(B)/$(2)/%.o,$(call sources,$(1)))

TESTS := $(wildcard pkg/*/*_test.c cmd/*/*_test.c)
FUZZERS := $(wildcard pkg/*/*_fuzz.c)
TEST_PROGRAMS := $(TESTS:%.c=$(B)/test/%)
REPLAY_PROGRAMS := $(FUZZERS:%.c=$(B)/test/%)
TSAN_PROGRAMS := $(TESTS:%.c=$(B)/tsan/%)
COVERAGE_PROGRAMS := $(TESTS:%.c=$(B)/coverage/%)

.PHONY: help deps all install uninstall check unit unit-tsan coverage e2e test \
        nightly e2e-cluster sanitized e2e-tsan e2e-long engines failpoints mutants stall parity changes demo demo-stop bench bench-pages image deb krew docs clean golden fuzz
help: ## list these targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s  %s\n", $$1, $$2}'

deps: ## install missing packages with apt (as root), otherwise list them
	@hack/deps

all: $(BINARIES:%=bin/%) bin/bootstrap bin/kubectl_complete-pgsync ## build bin/pgsync-operator, pgsync, kubectl-pgsync and bookstore

# --- objects, libraries, binaries -------------------------------------------------------------------------------------
define flavour_rules
$(B)/$(1)/%.o: %.c VERSION Makefile
	@mkdir -p $$(@D)
	@echo "  CC    $$(if $$(filter-out release test,$(1)),$(1): )$$<"
	@$$(CC) $$(CPPFLAGS) $$($(1)_CFLAGS) -MMD -MP -c $$< -o $$@
endef
$(foreach f,$(FLAVOURS),$(eval $(call flavour_rules,$(f))))

define package_rules
$(foreach f,$(FLAVOURS),$(B)/$(f)/lib$(1).a: $(call objects,$(1),$(f))
)
.PHONY: lib-$(1) unit-$(1)
lib-$(1): $(B)/release/lib$(1).a
unit-$(1): $(filter $(B)/test/pkg/$(1)/%,$(TEST_PROGRAMS) $(REPLAY_PROGRAMS))
	@hack/run-unit $$^
endef
$(foreach p,$(PACKAGES),$(eval $(call package_rules,$(p))))

%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcsD $@ $(filter %.o,$^)

# The worker knows no Kubernetes, the operator no Postgres: the link lines prove it.
pgsync_PACKAGES := $(sort $(foreach p,console sync import propose protocol web,$(call deps_of,$(p))))
pgsync-operator_PACKAGES := $(call deps_of,operator)
# The plugin knows what users may know: the API server alone.
kubectl-pgsync_PACKAGES := $(sort $(foreach p,kube screen spec,$(call deps_of,$(p))))
# The bookstore knows nothing about pgsync.
bookstore_PACKAGES := $(sort $(foreach p,http json postgres web,$(call deps_of,$(p))))
# What ships has no failpoints.
bin/%: hack/hardened
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	@$(CC) $(release_CFLAGS) $(HARDENED_LINK) -Wl,--as-needed -o $@ $(filter %.o,$^) \
	  -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES)
	@if grep -q PGSYNC_FAILPOINTS $@; then rm $@; echo "$@: has failpoints, expected none in a release" >&2; exit 1; fi
	@hack/hardened $@ || { rm $@; exit 1; }

# The same programs of another flavour, each in a directory for PGSYNC_BIN.
define other_binaries
$(1)/%:
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$($(2)_CFLAGS) -pie -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBRARIES)
endef
$(eval $(call other_binaries,bin-failpoint,failpoint))
$(eval $(call other_binaries,bin-sanitized,test))
$(eval $(call other_binaries,bin-tsan,tsan))

# $(1): the program, $(2): the directory, $(3): the flavour.
define binary_rules
$(2)/$(1): $(patsubst %.c,$(B)/$(3)/%.o,$(filter-out %_test.c,$(wildcard cmd/$(1)/*.c))) $($(1)_PACKAGES:%=$(B)/$(3)/lib%.a)
endef
$(foreach b,$(BINARIES),$(eval $(call binary_rules,$(b),bin,release)))
$(foreach b,$(BINARIES),$(eval $(call binary_rules,$(b),bin-failpoint,failpoint)))
$(foreach b,$(BINARIES),$(eval $(call binary_rules,$(b),bin-sanitized,test)))
$(foreach b,$(BINARIES),$(eval $(call binary_rules,$(b),bin-tsan,tsan)))

# Files that become a part of the program (.incbin).
$(FLAVOURS:%=$(B)/%/cmd/bookstore/pages.o): $(wildcard cmd/bookstore/pages/* pkg/web/files/*)
$(FLAVOURS:%=$(B)/%/pkg/console/pages.o): $(wildcard pkg/console/pages/* pkg/web/files/*)
$(FLAVOURS:%=$(B)/%/cmd/bookstore/tables.o): config/samples/bookstore.sql config/samples/bookstore-books.sql
$(FLAVOURS:%=$(B)/%/pkg/screen/remedy.o): docs/conditions.md

# pgsync's users start it by this name too.
$(foreach d,bin bin-failpoint bin-sanitized bin-tsan,$(d)/bootstrap): %/bootstrap: %/pgsync
	@ln -sf pgsync $@
# kubectl asks this one for completions.
$(foreach d,bin bin-failpoint bin-sanitized bin-tsan,$(d)/kubectl_complete-pgsync): %/kubectl_complete-pgsync: %/kubectl-pgsync
	@ln -sf kubectl-pgsync $@

.PHONY: failpoint-bin sanitized-bin tsan-bin
failpoint-bin: $(BINARIES:%=bin-failpoint/%) bin-failpoint/bootstrap bin-failpoint/kubectl_complete-pgsync
sanitized-bin: $(BINARIES:%=bin-sanitized/%) bin-sanitized/bootstrap bin-sanitized/kubectl_complete-pgsync
tsan-bin: $(BINARIES:%=bin-tsan/%) bin-tsan/bootstrap bin-tsan/kubectl_complete-pgsync

# --- installing -------------------------------------------------------------------------------------------------------
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
MANDIR ?= $(DATADIR)/man
DOCDIR ?= $(DATADIR)/doc/pgsync-operator
BASH_COMPLETIONS ?= $(DATADIR)/bash-completion/completions
ZSH_COMPLETIONS ?= $(DATADIR)/zsh/site-functions

install: all ## install programs, man pages, completions and licence under DESTDIR and PREFIX (/usr/local)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(MANDIR)/man1 $(MANDIR)/man8 $(DOCDIR) $(BASH_COMPLETIONS) $(ZSH_COMPLETIONS))
	install -m 755 $(BINARIES:%=bin/%) $(DESTDIR)$(BINDIR)
	ln -sf pgsync $(DESTDIR)$(BINDIR)/bootstrap
	ln -sf kubectl-pgsync $(DESTDIR)$(BINDIR)/kubectl_complete-pgsync
	for page in man/*.[18]; do \
	  sed '/^\.TH/s/"pgsync-operator"/"pgsync-operator $(VERSION)"/' $$page >$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit; \
	done
	install -m 644 completions/pgsync.bash $(DESTDIR)$(BASH_COMPLETIONS)/pgsync
	ln -sf pgsync $(DESTDIR)$(BASH_COMPLETIONS)/bootstrap
	install -m 644 completions/pgsync-operator.bash $(DESTDIR)$(BASH_COMPLETIONS)/pgsync-operator
	install -m 644 completions/bookstore.bash $(DESTDIR)$(BASH_COMPLETIONS)/bookstore
	install -m 644 completions/_pgsync completions/_pgsync-operator completions/_bookstore $(DESTDIR)$(ZSH_COMPLETIONS)
	install -m 644 LICENSE NOTICE CHANGELOG.md $(DESTDIR)$(DOCDIR)

uninstall: ## remove what `make install` installed, with the same DESTDIR and PREFIX
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(BINARIES) bootstrap kubectl_complete-pgsync)
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/,man1/pgsync.1 man1/bootstrap.1 man1/kubectl-pgsync.1 man1/bookstore.1 man8/pgsync-operator.8)
	rm -f $(addprefix $(DESTDIR)$(BASH_COMPLETIONS)/,pgsync bootstrap pgsync-operator bookstore)
	rm -f $(addprefix $(DESTDIR)$(ZSH_COMPLETIONS)/,_pgsync _pgsync-operator _bookstore)
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,LICENSE NOTICE CHANGELOG.md)
	-rmdir $(DESTDIR)$(DOCDIR)

# --- tests ------------------------------------------------------------------------------------------------------------
# A test links its package, what pkg/DEPS lets that package include, and the fakes; nothing more.
# $(1): the package, $(2): the flavour.
define test_rules
$(filter $(B)/$(2)/pkg/$(1)/%,$(TEST_PROGRAMS) $(REPLAY_PROGRAMS) $(TSAN_PROGRAMS) $(COVERAGE_PROGRAMS)): \
	$(foreach d,$(call deps_of,$(1)) fakes,$(B)/$(2)/lib$(d).a)
endef
$(foreach p,$(PACKAGES),$(foreach f,test tsan coverage,$(eval $(call test_rules,$(p),$(f)))))

# The test of a program links its files but main.c, and its packages.
# $(1): the program, $(2): the flavour.
define program_test_rules
$(B)/$(2)/cmd/$(1)/$(1)_test: $(patsubst %.c,$(B)/$(2)/%.o,$(filter-out %_test.c %/main.c,$(wildcard cmd/$(1)/*.c))) \
	$($(1)_PACKAGES:%=$(B)/$(2)/lib%.a)
endef
$(foreach f,test tsan coverage,$(eval $(call program_test_rules,bookstore,$(f))))

.PHONY: unit-bookstore
unit-bookstore: $(B)/test/cmd/bookstore/bookstore_test
	@hack/run-unit $^

# The pure parts of pgsync's commands.
$(foreach f,test tsan coverage,$(eval $(B)/$(f)/cmd/pgsync/look_test: $(B)/$(f)/cmd/pgsync/look_compare.o $(B)/$(f)/cmd/pgsync/look_text.o $(B)/$(f)/libjson.a $(B)/$(f)/libbase.a))

.PHONY: unit-pgsync
unit-pgsync: $(B)/test/cmd/pgsync/look_test
	@hack/run-unit $^

define test_program
$(B)/$(1)/%_test: $(B)/$(1)/%_test.o
	@echo "  LINK  $$@"
	@$$(CC) $$($(1)_CFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LIBRARIES) -lcmocka
endef
$(foreach f,test tsan coverage,$(eval $(call test_program,$(f))))

# A fuzz target replays its corpus as a unit test: the same entry point, driven by hack/replay.c.
$(B)/test/%_fuzz: $(B)/test/%_fuzz.o $(B)/test/hack/replay.o
	@echo "  LINK  $@"
	@$(CC) $(test_CFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBRARIES)

unit: $(TEST_PROGRAMS) $(REPLAY_PROGRAMS) ## unit tests and fuzz corpora under ASan, UBSan and LSan
	@hack/run-unit $^

unit-tsan: $(TSAN_PROGRAMS) ## unit tests under ThreadSanitizer
	@hack/run-unit $^

coverage: $(COVERAGE_PROGRAMS) ## which part of each package's lines and branches the unit tests run
	@hack/coverage $(B)/coverage $^

check: ## format, allowed includes, headers compile alone, size caps, banned functions, clang-tidy
	@hack/check

e2e: all failpoint-bin ## end-to-end tests against real Postgres, OpenSearch, Elasticsearch and a Kubernetes API server
	@e2e/run $(E2E_ARGS)

test: ## everything: check, unit and e2e, with all setup
	@hack/deps
	@hack/test

# --- what takes long --------------------------------------------------------------------------------------------------
nightly: ## all of the following, each even if another one failed; logs in build/nightly
	@hack/deps
	@hack/nightly

e2e-cluster: ## as root: the image, the chart and docs/install.md in a real cluster of one node; upgrades, crashes and cuts, uninstallation
	@hack/deps cluster
	@IMAGE=localhost/pgsync-operator:e2e ARCHIVE=build/e2e-image.tar hack/image
	@E2E_PARTS="postgres opensearch cluster" e2e/run -x cluster/test_cluster.py cluster/test_page.py $(E2E_ARGS)

sanitized: sanitized-bin ## the main flow, end to end, with programs under ASan, UBSan and LSan
	@hack/e2e-instrumented bin-sanitized test_main_flow.py $(E2E_ARGS)

e2e-tsan: tsan-bin ## the main flow, end to end, with programs under ThreadSanitizer
	@hack/e2e-instrumented bin-tsan test_main_flow.py $(E2E_ARGS)

failpoints: failpoint-bin ## the main flow with a failure and a kill at each durable step (pkg/base/failpoint.h)
	@e2e/run test_failpoints.py -m "long or not long" $(E2E_ARGS)

e2e-long: all failpoint-bin ## the long end-to-end tests: migrations, switchovers, old writes, every fact of the catalog
	@e2e/run -m long --ignore=test_failpoints.py --ignore=test_stall.py $(E2E_ARGS)

engines: all failpoint-bin ## changes and faults on OpenSearch 3 and Elasticsearch 7, 8 and 9; E2E_ENGINES='name...' for some
	@hack/engines $(E2E_ENGINES)

mutants: ## take each protection away in turn; a named test must fail for that reason; MUTANTS='name...' for some
	@hack/mutants $(MUTANTS)

stall: all ## a search engine that is slow for STALL_SECONDS (default 600) ends no stream and leaves no status behind
	@STALL_SECONDS=$(or $(STALL_SECONDS),600) e2e/run test_stall.py -m long $(E2E_ARGS)

parity: ## compare documents with the real pgsync 7.3.0; WRITE=1 writes the differences to docs/from-pgsync.md
	@hack/deps
	@$(MAKE) --no-print-directory -j2 all
	@e2e/python -m commands.parity $(if $(WRITE),--write) $(PARITY_ARGS)

changes: ## every construct and 30 random trees, 300 changes to each, every one in the index within a second; and 400 changes of the catalog
	@hack/deps
	@$(MAKE) --no-print-directory -j2 all
	@E2E_CHANGES=300 E2E_TREES=30 E2E_CATALOG=10 E2E_CATALOG_CHANGES=40 E2E_SECONDS=1 e2e/run test_changes.py

golden: ## rewrite the golden files; review the diff
	@PGSYNC_GOLDEN=write $(MAKE) --no-print-directory unit-document unit-operator

fuzz: ## each fuzz target for FUZZ_SECONDS (default 60) with libFuzzer
	@hack/fuzz $(FUZZERS)

# --- running it -------------------------------------------------------------------------------------------------------
demo: ## from nothing to a synced bookstore: cluster, Postgres, OpenSearch, operator, and pages to try it
	@hack/deps
	@$(MAKE) --no-print-directory -j2 all
	@e2e/demo up

demo-stop: ## stop what `make demo` left running
	@e2e/demo down

bench: ## measure against the floors, side by side in one run; prints a table
	@hack/deps
	@$(MAKE) --no-print-directory -j2 all
	@e2e/bench

bench-pages: ## measure how fast the pages of the bookstore and the console answer
	@hack/deps pages
	@$(MAKE) --no-print-directory -j2 all
	@e2e/python -m commands.bench_pages $(BENCH_ARGS)

image: ## build the container image with buildah
	@hack/image

deb: all ## build a Debian package of what `make install` installs, in build/
	@hack/deb

krew: all ## build the archive and the manifest with which krew installs the plugin of kubectl, in build/krew/
	@hack/krew

docs: ## the documentation as one site, build/site/html; every link and anchor is checked
	@hack/site

clean: ## remove build output (the cache of downloaded parts stays)
	rm -rf $(B) bin bin-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
