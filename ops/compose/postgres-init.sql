-- Run once by Postgres' image, on an empty data directory: the catalogue's table, then roles and publication for capture.
-- To run it again, after a password in .env has changed for example:
--   docker compose up --detach postgres
--   docker compose exec postgres psql --username=postgres --dbname=shop --file=/docker-entrypoint-initdb.d/lockstep.sql
\set ON_ERROR_STOP on
\getenv debezium_password DEBEZIUM_DB_PASSWORD
\getenv lockstep_password WORKER_DB_PASSWORD
BEGIN;
SET LOCAL lockstep.debezium_password = :'debezium_password';
SET LOCAL lockstep.lockstep_password = :'lockstep_password';
\ir /lockstep/catalogue.sql
\ir /lockstep/roles.sql
COMMIT;
