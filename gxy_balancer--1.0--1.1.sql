/*
 * gxy_balancer 1.0 to 1.1.
 *
 * CREATE EXTENSION of 1.1 runs the script of 1.0 and then this one, so each object is defined in one place. The rules are
 * those of gxy_balancer--1.0.sql: COMMENT and REVOKE stand beside each object, and nothing that the schema's owner may have
 * made is called.
 */
\echo Use "ALTER EXTENSION gxy_balancer UPDATE TO '1.1'" to load this file. \quit

/*
 * Sessions look at the version again when the definition of a table has changed. The option has no use for a table that
 * small, so no other value of it is lost.
 */
ALTER TABLE balancer_servers SET (autovacuum_multixact_freeze_min_age = 0);
ALTER TABLE balancer_servers RESET (autovacuum_multixact_freeze_min_age);
