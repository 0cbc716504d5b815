# make               build/berth for this machine, and build/berth-ARCH for the other architecture
# make test          everything that is tested; ends with "N passed, N failed"
# make unit fuzz     build and run the unit tests; build the fuzz targets
# make demo bench    see it work; measure it
# make lint          formatting, static analysis, the rules of STYLE.md
# make install       PREFIX=/usr/local, DESTDIR=
#
# V=1 shows the commands. BUILD_ID=… overrides the build's identity, which is otherwise a hash of the sources.

VERSION := 0.1.0
PREFIX ?= /usr/local

.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all unit fuzz test demo bench lint tidy install clean FORCE

all:

Q := $(if $(V),,@)
say = @printf '  %-8s %s\n'

# The same work is done on every core, unless make was told how many (-j).
more_jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- sources ----

sources := $(sort $(wildcard core/*.c net/*.c applets/*.c applets/*/*.c))
headers := $(sort $(wildcard core/*.h net/*.h applets/*.h applets/*/*.h))
unit_sources := $(sort $(wildcard tests/unit/*.c))
fuzz_sources := $(sort $(wildcard tests/fuzz/*_fuzz.c))
page := $(sort $(wildcard applets/broker/page/* applets/broker/*.sh))
vendor_inputs := $(filter-out vendor/README.md,$(sort $(wildcard vendor/*)))

# What a test links with: all but the main() of the program.
testable := $(filter-out applets/main.c,$(sources))

# ---- flavours: x86_64 and aarch64 are shipped; asan and fuzz are instrumented, and native ----

host := $(shell uname -m)
shipped := x86_64 aarch64
other := $(filter-out $(host),$(shipped))
binaries := build/berth $(other:%=build/berth-%)

# What runs a binary of the other architecture.
run_x86_64 := $(if $(filter x86_64,$(other)),qemu-x86_64-static)
run_aarch64 := $(if $(filter aarch64,$(other)),qemu-aarch64-static)

warnings := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla -Wundef -Wcast-qual -Wwrite-strings \
    -Wimplicit-fallthrough -Werror
common := -std=gnu11 -D_GNU_SOURCE -I. -Ibuild $(warnings) -g -fno-omit-frame-pointer \
    -ffile-prefix-map=$(CURDIR)=.
hardened := -O2 -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections \
    -fno-asynchronous-unwind-tables -fno-unwind-tables
# What runs for each byte is to be fast, the rest small.
each_byte := $(patsubst %,core/%.c,buf bytes fdstream frame loop mem relay stream) \
    $(patsubst %,net/%.c,dgram link link_flow link_pace link_wire quic% tls_record tls_stream udp% websocket% yamux%)
small = $(if $(filter $(each_byte),$<),,-Os)
static_link := -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,text,--gc-sections
libraries := -lsodium -lbearssl -lyyjson -lngtcp2 -lllhttp -lsqlite3
native := -isystem build/vendor/native/include

CC_x86_64 := build/vendor/x86_64/bin/cc
CFLAGS_x86_64 = $(common) $(hardened) $(small)
LDFLAGS_x86_64 := $(static_link),-z,pack-relative-relocs

CC_aarch64 := build/vendor/aarch64/bin/cc
CFLAGS_aarch64 = $(common) $(hardened) $(small) -mbranch-protection=standard
LDFLAGS_aarch64 := $(static_link)

CC_asan := gcc
# gcc's flow warnings are not to be trusted in code that the sanitizers have rewritten.
CFLAGS_asan := $(common) $(native) -O1 -Wno-maybe-uninitialized -Wno-stringop-overflow \
    -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_asan := -fsanitize=address,undefined -Lbuild/vendor/native/lib

CC_fuzz := clang
CFLAGS_fuzz := $(common) $(native) -O1 -fsanitize=fuzzer-no-link,address,undefined \
    -fno-sanitize-recover=all
LDFLAGS_fuzz := -fsanitize=fuzzer,address,undefined -Lbuild/vendor/native/lib

flavours := $(shipped) asan fuzz
vendor_x86_64 := x86_64
vendor_aarch64 := aarch64
vendor_asan := native
vendor_fuzz := native

# $(call objects,FLAVOUR,SOURCES)
objects = $(patsubst %.c,build/obj/$(1)/%.o,$(2))

define flavour_rules
build/obj/$(1)/%.o: %.c build/vendor/$(vendor_$(1))/done Makefile | build/build_id.h build/page_assets.h
	$(say) CC $$(@:build/obj/%=%)
	@mkdir -p $$(@D)
	$(Q)$(CC_$(1)) $$(CFLAGS_$(1)) -MMD -MP -c $$< -o $$@

build/obj/$(1)/berth.debug: $(call objects,$(1),$(sources))
build/unit-$(1): $(call objects,$(1),$(testable) $(unit_sources))
build/obj/$(1)/berth.debug build/unit-$(1):
	$(say) LINK $$@
	$(Q)$(CC_$(1)) $$(filter %.o,$$^) $(LDFLAGS_$(1)) $(libraries) -o $$@

-include $(patsubst %.o,%.d,$(call objects,$(1),$(sources) $(unit_sources) $(fuzz_sources)))
endef
$(foreach flavour,$(flavours),$(eval $(call flavour_rules,$(flavour))))

# ---- what is built ----

all: $(binaries)

build/berth: build/obj/$(host)/berth.debug
	$(say) STRIP $@
	$(Q)$(host)-linux-gnu-strip -o $@ $<

build/berth-$(other): build/obj/$(other)/berth.debug
	$(say) STRIP $@
	$(Q)$(other)-linux-gnu-strip -o $@ $<

build/berth-asan: build/obj/asan/berth.debug
	$(Q)cp $< $@

build/vendor/%/done: build/vendor/inputs
	$(Q)vendor/build $*
	@touch $@

# What the broker's page is made of, as parts of the binary.
page_libraries := $(addprefix build/vendor/page/lib/,xterm.js addon-fit.js xterm.css)

build/page_assets.h: build/vendor/page/done FORCE
	$(Q)scripts/embed $@ build/page $(page) $(page_libraries)

# By content, not by age: what was built elsewhere, or for another commit, may be the newer.
build/vendor/inputs: FORCE
	@mkdir -p $(@D)
	@sha256sum $(vendor_inputs) >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# The hash is over what decides the binary; the header is touched only when it changes.
build/build_id.h: FORCE
	@mkdir -p build
	@id="$(BUILD_ID)"; [ -n "$$id" ] || \
	    id=$$(sha256sum $(sources) $(headers) $(page) $(vendor_inputs) Makefile | sha256sum | cut -c 1-16); \
	printf '#pragma once\n#define BERTH_VERSION "%s"\n#define BERTH_BUILD "%s"\n' \
	    "$(VERSION)" "$$id" >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# ---- tests ----

units := $(addprefix build/unit-,$(shipped) asan)
fuzzers := $(fuzz_sources:tests/fuzz/%_fuzz.c=build/fuzz/%)

build/fuzz/%: $(call objects,fuzz,$(testable)) build/obj/fuzz/tests/fuzz/%_fuzz.o
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC_fuzz) $^ $(LDFLAGS_fuzz) $(libraries) -o $@

fuzz: $(fuzzers)

# Our yamux by itself, for tests/interop.
build/yamux-peer: $(call objects,asan,$(testable)) build/obj/asan/tests/interop/yamux_peer.o
	$(say) LINK $@
	$(Q)$(CC_asan) $^ $(LDFLAGS_asan) $(libraries) -o $@

-include build/obj/asan/tests/interop/yamux_peer.d

# Our TLS for QUIC and GnuTLS', in one program: a suite of its own.
build/quic-tls-gnutls: $(call objects,asan,$(testable)) build/obj/asan/tests/interop/quic_tls_gnutls.o
	$(say) LINK $@
	$(Q)$(CC_asan) $^ $(LDFLAGS_asan) $(libraries) -lgnutls -o $@

-include build/obj/asan/tests/interop/quic_tls_gnutls.d

# Our TLS by itself, for tests/interop/run_tls.
build/tls-peer: $(call objects,asan,$(testable)) build/obj/asan/tests/interop/tls_peer.o
	$(say) LINK $@
	$(Q)$(CC_asan) $^ $(LDFLAGS_asan) $(libraries) -o $@

-include build/obj/asan/tests/interop/tls_peer.d

# Our HTTP and WebSocket by themselves, for tests/interop/run_http.
build/http-peer: $(call objects,asan,$(testable)) build/obj/asan/tests/interop/http_peer.o
	$(say) LINK $@
	$(Q)$(CC_asan) $^ $(LDFLAGS_asan) $(libraries) -o $@

-include build/obj/asan/tests/interop/http_peer.d

# QUIC for tests/interop/run_quic: over our TLS, and by Debian's ngtcp2 over GnuTLS.
quic_peer := build/obj/asan/tests/interop/quic_peer.o build/obj/asan/tests/interop/quic_peer_ours.o

build/quic-peer: $(call objects,asan,$(testable)) $(quic_peer)
	$(say) LINK $@
	$(Q)$(CC_asan) $^ $(LDFLAGS_asan) $(libraries) -o $@

-include $(quic_peer:.o=.d)

build/quic-peer-gnutls: $(wildcard tests/interop/quic_peer*) Makefile
	$(say) CC $@
	$(Q)gcc $(common) -O1 -fsanitize=address,undefined $(filter %peer.c %gnutls.c,$^) \
	    -lngtcp2_crypto_gnutls -lngtcp2 -lgnutls -o $@

# The path between two hosts of tests/wan.
build/wan: $(wildcard tests/wan/*.c tests/wan/*.h) Makefile
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)gcc -std=gnu11 -O2 -g -D_GNU_SOURCE -I. $(warnings) $(filter %.c,$^) -o $@

unit: $(units)
	$(run_x86_64) build/unit-x86_64
	$(run_aarch64) build/unit-aarch64
	build/unit-asan

test:
	$(Q)scripts/setup
	$(Q)$(MAKE) --no-print-directory $(more_jobs) all build/berth-asan $(units) fuzz build/yamux-peer \
	    build/quic-tls-gnutls build/quic-peer build/quic-peer-gnutls build/tls-peer build/http-peer build/wan
	$(Q)RUN_X86_64="$(run_x86_64)" RUN_AARCH64="$(run_aarch64)" tests/run

demo:
	$(Q)scripts/setup
	$(Q)$(MAKE) --no-print-directory $(more_jobs) all
	$(Q)scripts/demo

bench:
	$(Q)scripts/setup
	$(Q)$(MAKE) --no-print-directory $(more_jobs) all build/bench-load build/bench-http build/bench-agents build/wan
	$(Q)tests/bench/peers
	$(Q)tests/bench/run

build/bench-load: tests/bench/load.c
build/bench-http: tests/bench/http_load.c
build/bench-load build/bench-http: tests/bench/measure.h
	$(say) CC $@
	$(Q)gcc -O2 -g -D_GNU_SOURCE -I. $(warnings) -pthread -o $@ $(filter %.c,$^)

# Joined agents by the thousand.
build/bench-agents: $(call objects,$(host),$(testable)) build/obj/$(host)/tests/bench/agents.o
	$(say) LINK $@
	$(Q)$(CC_$(host)) $^ $(LDFLAGS_$(host)) $(libraries) -o $@

-include build/obj/$(host)/tests/bench/agents.d

# ---- lint ----

linted := $(sources) $(unit_sources) $(fuzz_sources)

# For clang-tidy and editors: how each file is compiled, in its plainest flavour.
build/compile_commands.json: build/vendor/native/done FORCE
	@{ printf '['; comma=; for file in $(linted); do \
	    printf '%s\n{"directory": "%s", "file": "%s", "command": "clang %s -c %s"}' \
	        "$$comma" "$(CURDIR)" "$$file" "$(common) $(native)" "$$file"; comma=,; \
	done; printf '\n]\n'; } >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
	@ln -sf $@ compile_commands.json

# One mark a file that clang-tidy found nothing in; it goes stale as an object would.
tidied := $(linted:%.c=build/tidy/%.ok)

tidy: $(tidied)

build/tidy/%.ok: %.c .clang-tidy | build/compile_commands.json build/build_id.h build/page_assets.h
	$(say) TIDY $<
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet -p build $< 2>$(@:.ok=.log) || { cat $(@:.ok=.log); exit 1; }
	$(Q)clang $(common) $(native) -MM -MP -MT $@ -MF $(@:.ok=.d) $<
	@touch $@

-include $(tidied:.ok=.d)

lint:
	$(Q)scripts/setup
	$(Q)$(MAKE) --no-print-directory $(more_jobs) build/compile_commands.json build/build_id.h \
	    build/page_assets.h
	$(Q)scripts/lint

# ---- install ----

lib := $(DESTDIR)$(PREFIX)/lib/berth

# The binaries in lib/ are what a remote host of that architecture is given.
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(lib)
	install -m 755 build/berth $(DESTDIR)$(PREFIX)/bin/berth
	install -m 755 build/berth $(lib)/berth-$(host)
	install -m 755 build/berth-$(other) $(lib)/berth-$(other)

clean:
	rm -rf build compile_commands.json
