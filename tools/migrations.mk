# The make targets of a service's migrations, run by Godwit: `include tools/migrations.mk`.
# NAME, TYPE, SERVICE_NAME and ENV are given as ever: `make db-migration-generate NAME=add_users TYPE=table SERVICE_NAME=user-service`.
GODWIT ?= godwit
ENV ?= development
service = $(if $(SERVICE_NAME),--service $(SERVICE_NAME))

.PHONY: db-migration-generate db-validate db-migration-deps db-migrate-init-orchestrator db-migrate-up \
	db-migrate-status-orchestrator db-migrate-down db-seed db-seed-enhanced db-backup

db-migration-generate:
	$(GODWIT) create --name $(NAME) $(if $(TYPE),--type $(TYPE)) $(service)

db-validate:
	$(GODWIT) lint $(service)

db-migration-deps:
	$(GODWIT) deps $(service)

db-migrate-init-orchestrator:
	$(GODWIT) init-tracking $(ENV) $(service)

db-migrate-up:
	$(GODWIT) migrate $(ENV) $(service)

db-migrate-status-orchestrator:
	$(GODWIT) status $(ENV) $(service)

db-migrate-down:
	$(GODWIT) rollback $(ENV) --steps $(or $(STEPS),1) $(service)

db-seed db-seed-enhanced:
	$(GODWIT) seed $(ENV)

db-backup:
	$(GODWIT) backup $(ENV)
