-- The least that DataLoader needs at a PostgreSQL source, for a role crm_reader that may log in.
-- Run it as the owner of the tables (pg_read_all_stats takes a superuser, or who may grant it).

GRANT USAGE ON SCHEMA public TO crm_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO crm_reader;
-- To prove how far a sequence has come, where an increasing number is the watermark.
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO crm_reader;
-- To see when other sessions' transactions started, without which no watermark can be proven.
GRANT pg_read_all_stats TO crm_reader;
