"""The SQL that `connectors.postgres_setup` asks Postgres's catalogs with; for Postgres 14 and newer."""

_WAL_END = "(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)"

SERVER = f"""
    SELECT current_setting('server_version_num')::int AS version,
           current_database()::text AS database,
           pg_is_in_recovery() AS in_recovery,
           (SELECT coalesce(json_object_agg(name, setting), '{{}}')::text
            FROM pg_settings WHERE name = ANY ($1::text[])) AS settings,
           ({_WAL_END} - '0/0'::pg_lsn)::bigint AS wal_position,
           (SELECT count(*) FROM pg_stat_replication) AS senders,
           (SELECT count(*) FROM pg_stat_replication AS sender
            WHERE sender.state = 'streaming'
              AND NOT EXISTS (SELECT FROM pg_replication_slots AS slot
                              WHERE slot.active_pid = sender.pid AND slot.slot_type = 'logical')) AS standbys
"""

CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"

OLDEST_TRANSACTION = """
    SELECT pid, who, state, age_seconds FROM (
        SELECT pid, coalesce(usename::text, 'unknown') AS who, coalesce(state, 'unknown') AS state,
               extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_seconds
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
        UNION ALL
        SELECT NULL, gid, 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
    ) AS transactions
    ORDER BY age_seconds DESC LIMIT 1
"""

HEARTBEAT = """
    SELECT has_table_privilege(oid, 'SELECT') AS readable, coalesce(pg_stat_get_tuples_updated(oid), 0) > 0 AS updated
    FROM pg_class WHERE oid = to_regclass($1)
"""

# As JSON, because older versions have fewer columns.
SLOTS = f"""
    SELECT to_jsonb(slot)::text AS told, pg_wal_lsn_diff({_WAL_END}, slot.restart_lsn)::bigint AS held_bytes
    FROM pg_replication_slots AS slot
"""

COLUMNS = """
    SELECT attname::text AS name, format_type(atttypid, NULL) AS type, attnotnull AS not_null,
           attgenerated <> '' AS generated
    FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""

TABLE = """
    WITH key_indexes AS (
        SELECT i.* FROM pg_index AS i
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass($1) AND a.attname = 'article_id' AND i.indisvalid AND i.indpred IS NULL
    )
    SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence, c.relreplident::text AS replica_identity,
           EXISTS (SELECT FROM key_indexes WHERE indisunique AND indnkeyatts = 1) AS key_is_unique,
           EXISTS (SELECT FROM key_indexes WHERE indcollation[0] = 'pg_catalog."C"'::regcollation)
               AS key_has_bytewise_index,
           c.relrowsecurity AS row_security,
           ARRAY(
               SELECT r.rolname::text FROM pg_roles AS r
               WHERE r.rolname IN ($2, current_user) AND c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
                 AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
                 AND NOT EXISTS (
                     SELECT FROM pg_policy AS p
                     WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
                       AND (p.polroles = ARRAY[0::oid] OR r.oid = ANY (p.polroles))
                       AND pg_get_expr(p.polqual, p.polrelid) = 'true')
               ORDER BY 1
           ) AS rows_hidden_from
    FROM pg_class AS c WHERE c.oid = to_regclass($1)
"""

# Column lists and row filters as JSON, because Postgres 14 has neither.
PUBLICATION = """
    WITH members AS (
        SELECT format('%s.%s', n.nspname, c.relname) AS name, to_jsonb(r) AS told
        FROM pg_publication AS p
        JOIN pg_publication_rel AS r ON r.prpubid = p.oid
        JOIN pg_class AS c ON c.oid = r.prrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE p.pubname = $1
    )
    SELECT p.pubviaroot AS via_root,
           array_remove(ARRAY[CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
                              CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END], NULL)
               AS operations,
           ARRAY(SELECT format('%s.%s', schemaname, tablename) FROM pg_publication_tables WHERE pubname = $1) AS tables,
           ARRAY(SELECT name FROM members WHERE told ->> 'prattrs' IS NOT NULL) AS with_column_list,
           ARRAY(SELECT name FROM members WHERE told ->> 'prqual' IS NOT NULL) AS with_row_filter
    FROM pg_publication AS p WHERE p.pubname = $1
"""

# What a superuser may is no news: nothing else of one is looked at.
ROLE = """
    SELECT r.rolsuper, r.rolcanlogin, r.rolreplication,
           CASE WHEN r.rolsuper THEN '{}' ELSE array_remove(ARRAY[
               CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL) END AS attributes,
           NOT r.rolsuper AND coalesce(
               (SELECT pg_has_role(r.oid, c.relowner, 'USAGE') FROM pg_class AS c
                WHERE c.oid = to_regclass('public.products')), false) AS owner,
           pg_has_role(r.oid, 'pg_monitor', 'USAGE') AS monitor,
           has_database_privilege(r.oid, current_database(), 'CONNECT') AS connects,
           has_schema_privilege(r.oid, 'public', 'USAGE') AS uses_schema,
           ARRAY(
               SELECT privilege || ' ON ' || relation
               FROM unnest($2::text[], $3::text[]) AS wanted (privilege, relation)
               WHERE to_regclass(relation) IS NOT NULL
                 AND NOT has_table_privilege(r.oid, to_regclass(relation)::oid, privilege)
           ) AS lacks
    FROM pg_roles AS r WHERE r.rolname = $1
"""
