# memq: set-up, start and checks.  `make help` says what there is.

# Debian's own Python where that is new enough (its headers come from apt).
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo /usr/bin/python3 || echo python3)
PORT ?= 22201
DATA ?= ./var/memq
ARGS ?=
# A front end of a cluster has no home.
HOME_OPTION = $(if $(filter rabbitmq --store=rabbitmq,$(ARGS)),,--home $(DATA))

BIN := .venv/bin
# Runs tests on all processors; for example SUITE_ARGS='--jobs 1 --temp /var/tmp'.
SUITE = tools/suite.py
SUITE_ARGS ?=

# Debian packages: to build memq; its test tools; what tests run; to test it with other
# people's clients; and to test it on Debian's own Twisted.
BUILD_PACKAGES := gcc libc6-dev libdb5.3-dev python3-dev python3-venv
TOOL_PACKAGES := libmemcached-dev zlib1g-dev
TEST_PACKAGES := lowdown openssl strace
CLIENT_PACKAGES := default-jdk-headless golang-github-bradfitz-gomemcache-dev golang-go \
	libcache-memcached-fast-perl libcache-memcached-perl libmemcached-tools \
	libsasl2-modules libspymemcached-java libyaml-0-2 nftables nodejs php-cli \
	php-memcache php-memcached ruby ruby-dalli stunnel4 $(shell command -v npm >/dev/null || echo npm)
# Of these only a program is needed, and no server that starts by itself: 20 MB.
CLIENT_PROGRAMS := prometheus collectd-core libnginx-mod-http-memc memcached \
	munin-plugins-extra nginx nutcracker ruby-dalli/trixie
# Clients from npm and from PyPI, which lie apart from what memq needs: 20 MB.
CLIENT_NPM := memcache-client@1.0.5 memcached@2.2.2 memjs@1.3.2
CLIENT_PIP := aiomcache==0.8.2 emcache==1.3.3 memcache==0.14.0 meta-memcache==4.3.0 \
	python-binary-memcached==0.33.0
# The schemas of Kubernetes, KEDA and the Prometheus operator, as models: 40 MB.
KUBERNETES_PIP := cloudcoil==0.6.0 cloudcoil.models.keda==2.16.1.0 \
	cloudcoil.models.kubernetes==1.32.1.3 \
	cloudcoil.models.prometheus_operator==0.80.1.0 pyyaml
# Nodes of a cluster.  Where nothing says no (/usr/sbin/policy-rc.d), Debian starts one of
# its own beside them when it installs the package.
CLUSTER_PACKAGES := rabbitmq-server
# A browser that looks at the page, and a font with Chinese.
BROWSER_PACKAGES := chromium chromium-driver fonts-noto-cjk
DEBIAN_PACKAGES := gcc libc6-dev python3-bsddb3 python3-hypothesis \
	python3-pika python3-prometheus-client python3-rich python3-twisted python3-zope.interface

# The Debian releases that `make test-deb` tries the packages in.
SUITES ?= bookworm trixie

# What `make container` calls its image.
IMAGE ?= memq

# Seconds that each test goes on that `make torture` runs, inputs that `make fuzz`
# tries, and where it is reported.
SECONDS ?= 600
RUNS ?= 5000
REPORT ?= $(CURDIR)/var/torture.jsonl
# How often `make torture-cluster` does each thing to the nodes; a Debian that has RabbitMQ
# 4, made where it is missing, for what only that can do; and what networks of their own are
# called, so that they can be cut.  Both need root.
ROUNDS ?= 10
ROOT ?=
NET ?=
# How long `make soak` goes on.
HOURS ?= 1
# The tests that take their rounds from memq/test/support/torture.py.
TORTURES = $(subst /,.,$(patsubst %.py,%,\
	$(shell grep -rl 'memq.test.support.torture import' memq/test --include='test_*.py' \
	| grep -v test_torture)))

.PHONY: help run venv test clients fetch-clients browser need-browser pictures check lint types imports coverage \
	test-debian fuzz torture soak test-packaging deb man test-deb container test-container cluster \
	cluster-stop cluster-check torture-cluster bench bench-quick profile format clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18
	@echo
	@echo "Variables: PORT=$(PORT) DATA=$(DATA) ARGS='--no-sync ...' PYTHON=$(PYTHON)"

run: .venv/memq.stamp ## set up what is missing, and start memq on 127.0.0.1
	exec $(BIN)/twistd -n --pidfile= memq --port $(PORT) $(HOME_OPTION) $(ARGS)

venv: .venv/tools.stamp ## .venv with twistd, memcacheq and the test tools

test: fetch-clients need-browser ## the whole suite, clients and browser included; the cluster has cluster-check
	$(BIN)/python $(SUITE) --without memq.test.cluster $(SUITE_ARGS)

clients: fetch-clients ## of that, what drives other people's clients
	$(BIN)/python $(SUITE) memq.test.clients $(SUITE_ARGS)

# Says what it cannot fetch; the tests fail that need it.
fetch-clients: .venv/tools.stamp
	@tools/need $(CLIENT_PACKAGES)
	@tools/unpack var/clients $(CLIENT_PROGRAMS)
	@CLIENT_NPM="$(CLIENT_NPM)" CLIENT_PIP="$(CLIENT_PIP)" tools/clients var/clients

browser: .venv/tools.stamp need-browser ## of that, what looks at the page in a browser
	$(BIN)/python $(SUITE) memq.test.browser $(SUITE_ARGS)

need-browser:
	@tools/need $(BROWSER_PACKAGES)

pictures: .venv/tools.stamp need-browser ## pictures of the page, into docs/pictures
	$(BIN)/python -m memq.test.browser.pictures docs/pictures

check: lint types imports coverage ## all that a change has to pass

lint: .venv/tools.stamp ## ruff: style and mistakes
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check

types: .venv/tools.stamp ## mypy, with zope.interface
	$(BIN)/mypy

imports: .venv/tools.stamp ## import-linter: the layers
	$(BIN)/lint-imports --no-logo

# Tests that break the layers below Twisted run on both bindings here, and not again on
# Debian's.  The rest runs there on the second binding, and here on the first.
BELOW_TWISTED = $(addprefix memq.test.,$(addprefix system.test_,\
	backup_load full kills powercut wrecks) memcacheq.test_adoption admin.test_salvage)

coverage: .venv/tools.stamp ## the suite with branch coverage, the storage on both bindings
	$(BIN)/coverage erase
	$(BIN)/python $(SUITE) --coverage --bsddb3 memq.test.storage $(BELOW_TWISTED) \
		--without memq.test.browser memq.test.clients memq.test.cluster $(SUITE_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-debian: ## the suite on Debian's own Twisted and bsddb3
	@tools/need $(DEBIAN_PACKAGES) $(TEST_PACKAGES)
	/usr/bin/python3 $(SUITE) --without memq.test.browser memq.test.clients \
		memq.test.cluster $(BELOW_TWISTED) $(SUITE_ARGS)

test-packaging: .venv/tools.stamp var/kubernetes.stamp ## sdist, wheel and editable install; the examples' schemas
	tools/test-packaging $(BIN)/python
	PYTHONPATH=var/kubernetes $(BIN)/python tools/check_kubernetes.py \
		contrib/kubernetes/*.yaml

deb: ## the Debian packages, into dist/; DEB_BUILD_OPTIONS= runs the suite as well
	tools/make-deb dist

container: ## the container image IMAGE, of the packages, on a Debian that is pulled
	tools/make-container $(IMAGE)

man: ## the manual pages, into build/man
	@tools/need lowdown
	tools/manpages build/man

test-deb: .venv/tools.stamp ## the packages in a fresh Debian of each of SUITES
	tools/test-deb $(SUITES)

test-container: .venv/tools.stamp ## a container image, built, used, killed and stopped
	tools/test-container

fuzz: .venv/tools.stamp ## RUNS inputs for each target of memq/test/support/fuzztargets.py
	$(BIN)/python -m memq.test.support.fuzz --runs $(RUNS)

torture: .venv/tools.stamp ## faults, SECONDS for each test that injects some
	@mkdir -p $(dir $(REPORT))
	MEMQ_TORTURE_SECONDS=$(SECONDS) MEMQ_TORTURE_REPORT=$(REPORT) \
		$(BIN)/trial $(TORTURES)
	MEMQ_TORTURE_REPORT=$(REPORT) $(BIN)/python -m memq.test.support.fuzz --seconds $(SECONDS)

soak: .venv/memq.stamp ## mixed load and kills for HOURS, into docs/reliability-soak.svg
	@$(BIN)/python -m bench.soak --hours $(HOURS)

cluster: ## three RabbitMQ nodes on 127.0.0.1, data in var/cluster
	@tools/need $(CLUSTER_PACKAGES)
	@$(PYTHON) tools/cluster.py start

cluster-stop: ## stop them; their data stays
	@$(PYTHON) tools/cluster.py stop

cluster-check: .venv/tools.stamp ## the protocol, and faults under load, on three nodes: three minutes; ROOT
	@tools/need $(CLUSTER_PACKAGES)
	$(if $(ROOT),tools/cluster-root $(ROOT))
	MEMQ_CLUSTER_ROOT=$(abspath $(ROOT)) $(BIN)/trial --temp-directory=build/trial-cluster \
		memq.test.cluster

torture-cluster: .venv/tools.stamp ## faults of nodes, front ends and network, ROUNDS times, with a ledger; ROOT, NET
	@tools/need $(CLUSTER_PACKAGES)
	$(if $(ROOT),tools/cluster-root $(ROOT))
	tools/torture-cluster $(ROUNDS) $(BIN)/python $(if $(ROOT),--root $(ROOT) --khepri) \
		$(if $(NET),--net $(NET))

bench: .venv/memq.stamp ## memq beside its peers, into docs/performance.md: 30 minutes
	@$(BIN)/python -m bench.run

bench-quick: .venv/memq.stamp ## the main tables of that, printed: five minutes
	@$(BIN)/python -m bench.run --quick

profile: .venv/memq.stamp ## where memq's time goes: cProfile, and callgrind if it is there
	@$(BIN)/python -m bench.profiles
	@! command -v valgrind >/dev/null || $(BIN)/python -m bench.costs

format: .venv/tools.stamp ## let ruff put right what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove all that was made, but for the data in var/
	rm -rf .venv build dist memq.egg-info .coverage* .hypothesis _trial_temp*
	rm -rf .mypy_cache .ruff_cache .import_linter_cache
	find bench memq testkit tools twisted -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# A stamp is newer than what it was made from, or is made again.  The plugin
# is looked up once, so that twistd finds its cache (dropin.cache) up to date.
.venv/memq.stamp: setup.cfg
	@tools/need $(BUILD_PACKAGES)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	$(BIN)/twistd --help >/dev/null
	@touch $@

.venv/tools.stamp: .venv/memq.stamp
	@tools/need $(TOOL_PACKAGES) $(TEST_PACKAGES)
	$(BIN)/pip install --quiet --use-pep517 --editable '.[test,dev]'
	@touch $@

# The versions stand here.
var/kubernetes.stamp: Makefile | .venv/tools.stamp
	rm -rf var/kubernetes
	$(BIN)/pip install --quiet --target var/kubernetes $(KUBERNETES_PIP)
	@touch $@
