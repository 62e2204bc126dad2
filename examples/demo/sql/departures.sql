-- December's flights, moved so that the last day of the year is today: a rolling window needs recent rows.
CREATE TABLE departures AS
SELECT flight_id, current_date - (date '2013-12-31' - make_date(year, month, day)) AS flight_date,
       carrier, flight, tailnum, origin, dest, dep_delay, distance
FROM flights WHERE month = 12;
ALTER TABLE departures ADD PRIMARY KEY (flight_id);
CREATE INDEX ON flights (changed_at);
CREATE INDEX ON weather (recorded_at);
CREATE INDEX ON departures (flight_date);
-- The login that loads: it may read, and see how old other sessions' transactions are.
CREATE ROLE nyc_reader LOGIN;
GRANT pg_read_all_stats TO nyc_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO nyc_reader;
ANALYZE;
