# make demo   sets everything up and shows one real call (KEEP=1 leaves it running for a person)
# make test   sets everything up and runs the whole suite
# make check  lint, types, contracts and unit tests, in about two minutes
# make bench  measures what docs/benchmarks.md states
# make fuzz   feeds every parser with made-up input, SECONDS=60 each, and keeps what it learnt in build/fuzz
# make deb   builds the Debian package, build/avisiod_VERSION_amd64.deb
# make deb-test  installs that very file on a fresh Debian in a folder and tries it, with calls, as root; five minutes
# make bench-load  loads a media worker and other gateways in turn: docs/benchmarks-load.md, a quarter of an hour;
#                  bench-growth, bench-capacity, bench-busy, bench-phones, bench-churn: the other figures of that page
# make soak  two hours of calls with a fault every minute (MINUTES=120), as root
# make kill  kills the daemon at 500 random points of its calls (POINTS=500), a quarter of an hour; SEED= repeats a run
# make screens photographs every screen of the relatives' portal into build/screens
export PYTHONPATH := $(CURDIR)
PYTHON = .venv/bin/python

.PHONY: deb deb-test setup demo test check lint fuzz kill bench bench-load bench-growth bench-capacity bench-busy bench-phones bench-churn soak lock media prompts

setup:
	@scripts/setup

prompts: setup
	@$(PYTHON) scripts/make-prompts

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy --config-file tests/mypy.ini -p tests.bench -p tests.soak -p tests.fuzz -p tests.deb -p demo -m tests.web.screens
	.venv/bin/lint-imports --no-cache

check: lint
	$(PYTHON) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not peer and not e2e' tests

demo: setup
	@$(PYTHON) -m demo

bench: setup
	@$(PYTHON) -m tests.bench all

# Two lanes, since most of the time is waiting; a file's tests stay in one, because they share a scene. Files begin in
# the order of tests/conftest.py: by itself xdist begins with the one that has the most tests, not the slowest. What
# fails beside real peers on a busy machine is tried once more, by itself; what fails twice has failed. A run that does
# not end is ended.
test: lint
	timeout -k 10 2700 $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests || \
		{ echo "== what failed, once more by itself"; timeout -k 10 1800 $(PYTHON) -m pytest --last-failed tests; }

fuzz: setup
	@for name in $$($(PYTHON) -c 'from tests.fuzz import NAMES; print(*NAMES)'); do \
		echo "== $$name"; \
		nice $(PYTHON) -m tests.fuzz $$name --seconds $(or $(SECONDS),60) || exit 1; \
	done

lock:
	$(PYTHON) -m piptools compile -q --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --build-deps-for wheel --output-file requirements.lock pyproject.toml
	$(PYTHON) -m piptools compile -q --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

bench-load:
	@scripts/setup scripts/debian-packages-bench
	$(PYTHON) -m tests.bench.load

soak: setup
	@$(PYTHON) -m tests.soak --minutes $(or $(MINUTES),120)

kill: setup
	AVISIOD_KILL_POINTS=$(or $(POINTS),500) AVISIOD_KILL_SEED=$(or $(SEED),0) $(PYTHON) -m pytest -q -s tests/e2e/test_kill.py

bench-growth bench-capacity bench-busy bench-phones:
	@scripts/setup scripts/debian-packages-bench
	$(PYTHON) -m tests.bench.load $(@:bench-%=%)

bench-churn: setup
	$(PYTHON) -m tests.bench.load.churn

screens: setup
	$(PYTHON) -m tests.web.screens

deb:
	@scripts/make-deb

deb-test: setup deb
	@scripts/setup scripts/debian-packages-deb
	@$(PYTHON) -m tests.deb build/avisiod_*_amd64.deb
