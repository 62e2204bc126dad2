-- DataLoader's control schema, part 1: tables and indexes.
--
-- `dataloader init` applies these files in the order of their numbers; `psql -f` does as well. Every file can be
-- run again without harm. control.schema_version keeps what was applied.

CREATE SCHEMA IF NOT EXISTS control;
COMMENT ON SCHEMA control IS 'DataLoader: which tables are loaded from where, how, when, and how it went.';

CREATE TABLE IF NOT EXISTS control.schema_version (
    number      integer     PRIMARY KEY,
    name        text        NOT NULL,
    checksum    text,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text        NOT NULL DEFAULT session_user
);
COMMENT ON TABLE control.schema_version IS 'The numbered files of sql/ that were applied here.';
COMMENT ON COLUMN control.schema_version.checksum IS
    'SHA-256 of the file, written by `dataloader init`; NULL until its next run where psql applied the file.';

CREATE TABLE IF NOT EXISTS control.known_strategies (
    name            text    PRIMARY KEY,
    needs_keys      boolean NOT NULL DEFAULT false,
    needs_watermark boolean NOT NULL DEFAULT false,
    runs_alone      boolean NOT NULL DEFAULT false,
    needs_window    boolean NOT NULL DEFAULT false,
    starts_clear    boolean NOT NULL DEFAULT false,
    keys_unless     jsonb,
    then_option     text,
    then_default    text
);
COMMENT ON TABLE control.known_strategies IS
    'Load strategies that table_control may name. Each process adds those of its installed plugins when it starts.';
COMMENT ON COLUMN control.known_strategies.needs_keys IS 'It merges: primary_key_cols must be set.';
COMMENT ON COLUMN control.known_strategies.needs_watermark IS 'It reads from a watermark: incremental_column must be set.';
COMMENT ON COLUMN control.known_strategies.runs_alone IS 'It gets a run of its own, one per source at a time.';
COMMENT ON COLUMN control.known_strategies.needs_window IS 'It reads a window: rolling_column and rolling_days must be set.';
COMMENT ON COLUMN control.known_strategies.starts_clear IS
    'A table that changes to it must clear incremental_value: what an old value would skip, it could never catch up.';
COMMENT ON COLUMN control.known_strategies.keys_unless IS 'strategy_options that contain this need no keys after all.';
COMMENT ON COLUMN control.known_strategies.then_option IS
    'A backfill: the strategy option that names what the table becomes at the end, and whose needs hold from the start.';
COMMENT ON COLUMN control.known_strategies.then_default IS 'What the table becomes where that option is not given.';

INSERT INTO control.known_strategies
    (name, needs_keys, needs_watermark, runs_alone, needs_window, starts_clear, keys_unless, then_option, then_default)
VALUES
    ('full',             false, false, false, false, false, NULL,                  NULL,   NULL),
    ('incremental',      true,  true,  false, false, false, NULL,                  NULL,   NULL),
    ('append_only',      false, true,  false, false, true,  NULL,                  NULL,   NULL),
    ('rolling',          true,  false, false, true,  false, NULL,                  NULL,   NULL),
    ('check_and_load',   true,  true,  false, false, false, '{"reload": "full"}',  NULL,   NULL),
    ('chunked_backfill', false, false, true,  false, true,  NULL,                  'then', 'incremental')
ON CONFLICT (name) DO NOTHING;

CREATE TABLE IF NOT EXISTS control.table_control_dbconfig (
    db_config_key         text        PRIMARY KEY CHECK (db_config_key <> ''),
    db_type               text        NOT NULL CHECK (db_type <> ''),
    db_config_value       jsonb       NOT NULL DEFAULT '{}',
    db_kv_scope           text        NOT NULL DEFAULT 'azure-keyvault',
    default_target_schema text,
    is_active             boolean     NOT NULL DEFAULT true,
    max_concurrent_loads  integer     NOT NULL DEFAULT 12 CHECK (max_concurrent_loads >= 1),
    max_connections       integer     NOT NULL DEFAULT 48 CHECK (max_connections >= 1),
    options               jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    created_at            timestamptz NOT NULL DEFAULT now(),
    create_user           text        NOT NULL DEFAULT session_user,
    last_modified_at      timestamptz NOT NULL DEFAULT now(),
    last_modified_user    text        NOT NULL DEFAULT session_user,
    CONSTRAINT db_config_value_names_secrets CHECK (jsonb_typeof(db_config_value) IN ('object', 'string'))
);
COMMENT ON TABLE control.table_control_dbconfig IS 'Sources: one row for each database that tables are loaded from.';
COMMENT ON COLUMN control.table_control_dbconfig.db_config_key IS 'The name of the source; part of its tables'' control keys.';
COMMENT ON COLUMN control.table_control_dbconfig.db_type IS 'The source plugin, for instance postgresql or mssql.';
COMMENT ON COLUMN control.table_control_dbconfig.db_config_value IS
    'How to connect: {"host": {"value": "db1"}, "password": "name-of-a-secret"}, or the name of one secret that holds '
    'all of it as JSON. A plain text is a secret''s name, never the secret.';
COMMENT ON COLUMN control.table_control_dbconfig.db_kv_scope IS
    'The secret backend that resolves the names: env, file:/run/secrets, azure-keyvault ...';
COMMENT ON COLUMN control.table_control_dbconfig.default_target_schema IS
    'destination_table_schema of tables that give none.';
COMMENT ON COLUMN control.table_control_dbconfig.is_active IS 'False: none of its tables is claimed.';
COMMENT ON COLUMN control.table_control_dbconfig.max_concurrent_loads IS 'Tables Queued or In Progress at once, over all claimers.';
COMMENT ON COLUMN control.table_control_dbconfig.max_connections IS 'Connections that one run may open to the source.';
COMMENT ON COLUMN control.table_control_dbconfig.options IS 'Further settings of the source plugin; never secrets.';

CREATE TABLE IF NOT EXISTS control.table_control (
    config_id                 bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    control_key               text        NOT NULL,
    table_uid                 uuid        NOT NULL DEFAULT gen_random_uuid(),
    is_active                 boolean     NOT NULL DEFAULT true,
    db_config_key             text        NOT NULL,
    source_table_catalog      text,
    source_table_schema       text,
    source_table_name         text,
    query                     text,
    filter                    text,
    columns                   text[],
    destination_table_catalog text        NOT NULL,
    destination_table_schema  text        NOT NULL,
    destination_table_name    text        NOT NULL,
    load_strategy             text        NOT NULL,
    strategy_options          jsonb       NOT NULL DEFAULT '{}',
    load_full                 boolean     NOT NULL DEFAULT false,
    load_cron                 text,
    time_zone                 text        NOT NULL DEFAULT 'UTC',
    primary_key_cols          text[]      NOT NULL DEFAULT '{}',
    incremental_column        text,
    incremental_type          text,
    incremental_value         text,
    incremental_lookback      text,
    watermark_delay           text,
    rolling_column            text,
    rolling_days              integer,
    partition_column          text,
    num_partitions            integer,
    lower_bound               text,
    upper_bound               text,
    row_limit                 bigint,
    schema_policy             text        NOT NULL DEFAULT 'evolve',
    on_unrepresentable        text        NOT NULL DEFAULT 'fail',
    way_of_reading            text,
    allow_empty               boolean     NOT NULL DEFAULT false,
    max_delete_fraction       double precision NOT NULL DEFAULT 0.5,
    is_delete                 boolean     NOT NULL DEFAULT false,
    delete_mode               text,
    deletes_checked_at        timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    create_user               text        NOT NULL DEFAULT session_user,
    last_modified_at          timestamptz NOT NULL DEFAULT now(),
    last_modified_user        text        NOT NULL DEFAULT session_user,

    next_load_date_time       timestamptz DEFAULT now(),
    schedule_changed          boolean     NOT NULL DEFAULT false,
    last_status               text,
    last_status_date_time     timestamptz,
    last_status_message       text,
    last_load_date_time       timestamptz,
    retry_count               integer     NOT NULL DEFAULT 0,
    staging_model_processed   boolean     NOT NULL DEFAULT false,
    last_dagster_run          text,
    last_databricks_run       text,
    run_id                    text,

    load_seq                  bigint      NOT NULL DEFAULT 0,
    load_id                   uuid,
    claim_holder              jsonb,
    claim_fingerprint         text,
    claim_closed              boolean     NOT NULL DEFAULT true,
    claim_previous_closed     boolean     NOT NULL DEFAULT true,
    claim_writing             boolean     NOT NULL DEFAULT false,
    claim_refused             boolean     NOT NULL DEFAULT false,
    claim_load_full           boolean     NOT NULL DEFAULT false,
    claim_load_full_orders    bigint      NOT NULL DEFAULT 0,
    load_queued_at            timestamptz,
    load_started_at           timestamptz,
    heartbeat_at              timestamptz,
    progress                  jsonb,
    committed_version         bigint,
    watermark_sets            bigint      NOT NULL DEFAULT 0,
    load_full_orders          bigint      NOT NULL DEFAULT 0,
    disputed_version          bigint,
    disputed_sets             bigint,
    backfill_cursor           jsonb,
    adopt_unowned             boolean     NOT NULL DEFAULT false,
    staging_tables            text[]      NOT NULL DEFAULT '{}',

    CONSTRAINT control_key_is_unique UNIQUE (control_key),
    CONSTRAINT table_uid_is_unique UNIQUE (table_uid),
    CONSTRAINT source_is_known FOREIGN KEY (db_config_key) REFERENCES control.table_control_dbconfig,
    CONSTRAINT strategy_is_known FOREIGN KEY (load_strategy) REFERENCES control.known_strategies,
    CONSTRAINT last_status_is_known CHECK (last_status IN ('Queued', 'In Progress', 'Succeeded', 'Failed')),
    CONSTRAINT next_time_is_a_time CHECK (
        next_load_date_time BETWEEN '1970-01-01 00:00:00+00' AND '9000-01-01 00:00:00+00'),
    CONSTRAINT load_seq_fits_delta CHECK (load_seq >= 0 AND load_seq < 8796093022208)
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX IF NOT EXISTS destination_is_unique ON control.table_control
    (lower(destination_table_catalog), lower(destination_table_schema), lower(destination_table_name));
CREATE UNIQUE INDEX IF NOT EXISTS table_control_load_id ON control.table_control (load_id);
CREATE INDEX IF NOT EXISTS table_control_due ON control.table_control (db_config_key, next_load_date_time)
    WHERE is_active AND NOT schedule_changed AND (last_status IS NULL OR last_status IN ('Succeeded', 'Failed'));
CREATE INDEX IF NOT EXISTS table_control_claimed ON control.table_control (db_config_key)
    WHERE last_status IN ('Queued', 'In Progress');
CREATE INDEX IF NOT EXISTS table_control_reschedule ON control.table_control (config_id)
    WHERE schedule_changed AND is_active;

CREATE TABLE IF NOT EXISTS control.historical_metadata (
    id                    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    control_key           text        NOT NULL,
    config_id             bigint      NOT NULL,
    db_config_key         text        NOT NULL,
    run_id                text,
    load_seq              bigint      NOT NULL,
    load_id               uuid        NOT NULL UNIQUE,
    load_queued_time      timestamptz NOT NULL DEFAULT now(),
    load_start_time       timestamptz,
    load_end_time         timestamptz,
    total_duration        double precision,
    source_table_catalog  text,
    source_table_schema   text,
    source_table_name     text,
    target_table_catalog  text        NOT NULL,
    target_table_schema   text        NOT NULL,
    target_table_name     text        NOT NULL,
    load_strategy         text        NOT NULL,
    load_full             boolean     NOT NULL,
    row_limit             bigint,
    attempts              integer     NOT NULL DEFAULT 1,
    holder                jsonb,
    load_status           text        CHECK (load_status IN ('Succeeded', 'Failed', 'Cancelled')),
    log_message           text,
    rows_processed        bigint,
    rows_deleted          bigint,
    bytes_processed       bigint,
    watermark_before      text,
    watermark_after       text,
    committed_version     bigint,
    table_version         bigint,
    recovered_by          uuid,
    notes                 text[]      NOT NULL DEFAULT '{}',
    metrics               jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS historical_metadata_table ON control.historical_metadata (control_key, id);
CREATE INDEX IF NOT EXISTS historical_metadata_queued ON control.historical_metadata (load_queued_time);
CREATE INDEX IF NOT EXISTS historical_metadata_open ON control.historical_metadata (id) WHERE load_status IS NULL;

CREATE TABLE IF NOT EXISTS control.table_control_history (
    history_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    control_key    text        NOT NULL,
    config_id      bigint      NOT NULL,
    changed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by     text        NOT NULL,
    change_type    text        NOT NULL CHECK (change_type IN ('INSERT', 'UPDATE', 'DELETE')),
    change_source  text        NOT NULL,
    old_values     jsonb,
    new_values     jsonb,
    changed_fields text[]
);
CREATE INDEX IF NOT EXISTS table_control_history_table ON control.table_control_history (control_key, history_id);
CREATE INDEX IF NOT EXISTS table_control_history_uid ON control.table_control_history ((old_values ->> 'table_uid'))
    WHERE change_type = 'DELETE';

CREATE TABLE IF NOT EXISTS control.source_catalog_crawl (
    crawl_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    db_config_key text        NOT NULL REFERENCES control.table_control_dbconfig ON UPDATE CASCADE ON DELETE CASCADE,
    started_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    crawl_status  text        CHECK (crawl_status IN ('Succeeded', 'Failed')),
    message       text,
    tables_found  integer
);

CREATE TABLE IF NOT EXISTS control.source_catalog (
    db_config_key        text    NOT NULL REFERENCES control.table_control_dbconfig ON UPDATE CASCADE ON DELETE CASCADE,
    source_table_catalog text    NOT NULL DEFAULT '',
    source_table_schema  text    NOT NULL,
    source_table_name    text    NOT NULL,
    crawl_id             bigint  REFERENCES control.source_catalog_crawl ON DELETE SET NULL,
    table_kind           text    NOT NULL DEFAULT 'table',
    table_comment        text,
    columns              jsonb   NOT NULL DEFAULT '[]',
    primary_key_cols     text[]  NOT NULL DEFAULT '{}',
    unique_keys          jsonb   NOT NULL DEFAULT '[]',
    indexes              jsonb   NOT NULL DEFAULT '[]',
    row_estimate         bigint,
    size_bytes           bigint,
    change_columns       jsonb   NOT NULL DEFAULT '[]',
    proposal             jsonb,
    PRIMARY KEY (db_config_key, source_table_catalog, source_table_schema, source_table_name)
);

CREATE TABLE IF NOT EXISTS control.ticks (
    host      text             NOT NULL,
    pid       integer          NOT NULL,
    kind      text             NOT NULL,
    ticked_at timestamptz      NOT NULL DEFAULT now(),
    claimed   integer          NOT NULL DEFAULT 0,
    PRIMARY KEY (host, pid)
);

INSERT INTO control.schema_version (number, name) VALUES (1, '001_tables') ON CONFLICT DO NOTHING;
