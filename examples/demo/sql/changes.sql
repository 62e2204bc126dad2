-- A day's work at the source, in one transaction.
INSERT INTO airlines VALUES ('XX', 'Example Air');
DELETE FROM airlines WHERE carrier = 'OO';

CREATE TABLE journal.deleted_planes AS SELECT * FROM planes ORDER BY tailnum LIMIT 5;
DELETE FROM planes WHERE tailnum IN (SELECT tailnum FROM journal.deleted_planes);
UPDATE planes SET seats = seats + 1 WHERE tailnum IN (SELECT tailnum FROM planes ORDER BY tailnum DESC LIMIT 200);
INSERT INTO planes (tailnum, year, manufacturer, seats)
SELECT 'NEW' || n, 2014, 'EXAMPLE', 100 + n FROM generate_series(1, 25) AS n;

CREATE TABLE journal.first_seen_weather AS SELECT * FROM weather ORDER BY id LIMIT 3;
UPDATE weather SET temp = temp + 1 WHERE id IN (SELECT id FROM journal.first_seen_weather);
INSERT INTO weather (origin, year, month, day, hour, temp, time_hour)
SELECT origin, 2014, 1, 1, hour, temp, time_hour + interval '1 year' FROM weather ORDER BY id LIMIT 100;

UPDATE departures SET dep_delay = 0 WHERE flight_date = current_date AND carrier = 'UA';
DELETE FROM departures WHERE flight_date = current_date AND carrier = 'AA';
INSERT INTO departures (flight_id, flight_date, carrier, flight, origin, dest)
SELECT 10000000 + n, current_date, 'XX', n, 'JFK', 'LAX' FROM generate_series(1, 10) AS n;

UPDATE flights SET arr_delay = arr_delay + 1 WHERE flight_id % 337 = 0;
INSERT INTO flights (year, month, day, carrier, flight, origin, dest)
SELECT 2014, 1, 1, 'XX', n, 'EWR', 'SFO' FROM generate_series(1, 500) AS n;
