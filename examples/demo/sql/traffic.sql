-- What goes on at the source while the demo is left running.
INSERT INTO weather (origin, year, month, day, hour, temp, time_hour)
SELECT 'JFK', 2014, 1, 3, 0, 30 + random() * 10, now();
UPDATE flights SET arr_delay = coalesce(arr_delay, 0) + 1
WHERE flight_id IN (SELECT 1 + floor(random() * 336776)::bigint FROM generate_series(1, 20));
UPDATE planes SET seats = seats + 1 WHERE tailnum IN (SELECT tailnum FROM planes ORDER BY random() LIMIT 3);
