-- DataLoader's control schema, part 7: what launchers started elsewhere, and whether it has ended.

CREATE TABLE IF NOT EXISTS control.launched_runs (
    launched_run_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          text        NOT NULL,
    instance        text,
    launcher        text        NOT NULL,
    reference       text        NOT NULL,
    run_url         text,
    launched_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    problem         text,
    UNIQUE (launcher, reference)
);
CREATE INDEX IF NOT EXISTS launched_runs_open ON control.launched_runs (launched_run_id) WHERE ended_at IS NULL;

COMMENT ON TABLE control.launched_runs IS
    'Runs that launchers started elsewhere, on Databricks for instance. One that is not known to have ended while its Dagster run has is an orphan, and is cancelled. Rows are removed 30 days after the end.';
COMMENT ON COLUMN control.launched_runs.launched_run_id IS 'Order of the launches.';
COMMENT ON COLUMN control.launched_runs.run_id IS 'The Dagster run that launched it.';
COMMENT ON COLUMN control.launched_runs.instance IS
    'The Dagster instance of that run, by the id of its run storage: no other one knows whether the run is over, and none ends what it launched.';
COMMENT ON COLUMN control.launched_runs.launcher IS 'Name of the launcher.';
COMMENT ON COLUMN control.launched_runs.reference IS 'The launcher''s own name for the run; it can be cancelled by it.';
COMMENT ON COLUMN control.launched_runs.run_url IS 'Where people look at it.';
COMMENT ON COLUMN control.launched_runs.launched_at IS 'When the control database heard of it.';
COMMENT ON COLUMN control.launched_runs.ended_at IS 'When it was found to have ended.';
COMMENT ON COLUMN control.launched_runs.problem IS 'Why it could not be ended when that was tried last.';

INSERT INTO control.schema_version (number, name) VALUES (7, '007_launched_runs') ON CONFLICT DO NOTHING;
