-- The schemas and roles of Pismo in an empty database of your own Postgres (15 or later). Safe to repeat: it also sets
-- new passwords. For each role a password is given as a variable of psql:
--
--   psql "$SERVER_URL/pismo" -v gateway_owner=… -v gateway_requests=… -v gateway_worker=… (and so for each service) \
--        -f k8s/postgres-roles.sql
--
-- <service>_owner migrates the schema, <service>_requests and <service>_worker run the service. The last two can create
-- nothing and see no other schema.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN NOINHERIT', service || '_' || kind)
FROM unnest(ARRAY['gateway', 'generation', 'billing', 'analytics']) AS service, unnest(ARRAY['owner', 'requests', 'worker']) AS kind
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service || '_' || kind)
\gexec

ALTER ROLE gateway_owner PASSWORD :'gateway_owner';
ALTER ROLE gateway_requests PASSWORD :'gateway_requests';
ALTER ROLE gateway_worker PASSWORD :'gateway_worker';
ALTER ROLE generation_owner PASSWORD :'generation_owner';
ALTER ROLE generation_requests PASSWORD :'generation_requests';
ALTER ROLE generation_worker PASSWORD :'generation_worker';
ALTER ROLE billing_owner PASSWORD :'billing_owner';
ALTER ROLE billing_requests PASSWORD :'billing_requests';
ALTER ROLE billing_worker PASSWORD :'billing_worker';
ALTER ROLE analytics_owner PASSWORD :'analytics_owner';
ALTER ROLE analytics_requests PASSWORD :'analytics_requests';
ALTER ROLE analytics_worker PASSWORD :'analytics_worker';

REVOKE ALL ON SCHEMA public FROM PUBLIC;
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec

-- A managed server's administrator is no superuser: only a member may make a schema for another.
SELECT format('GRANT %1$s_owner TO CURRENT_USER; CREATE SCHEMA IF NOT EXISTS %1$s AUTHORIZATION %1$s_owner;', service),
       format('GRANT USAGE ON SCHEMA %1$s TO %1$s_requests, %1$s_worker', service),
       format('GRANT CONNECT ON DATABASE %2$I TO %1$s_owner, %1$s_requests, %1$s_worker', service, current_database())
FROM unnest(ARRAY['gateway', 'generation', 'billing', 'analytics']) AS service
\gexec
