-- DataLoader's control schema, part 6: what sources remember from load to load.

CREATE TABLE IF NOT EXISTS control.source_notes (
    note_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    db_config_key text        NOT NULL REFERENCES control.table_control_dbconfig ON UPDATE CASCADE ON DELETE CASCADE,
    note_key      text        NOT NULL,
    noted_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    note          jsonb       NOT NULL
);
CREATE INDEX IF NOT EXISTS source_notes_newest ON control.source_notes (db_config_key, note_key, note_id DESC);

COMMENT ON TABLE control.source_notes IS
    'What a source''s sessions remember from load to load, for instance looks at sequences; the newest 64 of each key.';
COMMENT ON COLUMN control.source_notes.note_id IS 'Order of the notes.';
COMMENT ON COLUMN control.source_notes.db_config_key IS 'The source that noted it.';
COMMENT ON COLUMN control.source_notes.note_key IS 'The source''s own name for what it is about.';
COMMENT ON COLUMN control.source_notes.noted_at IS 'When it was noted.';
COMMENT ON COLUMN control.source_notes.note IS 'The note. No secret, no value of a row.';

INSERT INTO control.schema_version (number, name) VALUES (6, '006_source_notes') ON CONFLICT DO NOTHING;
