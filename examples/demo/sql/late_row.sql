-- Stamped when its transaction began, visible only when it commits: after a load that read newer stamps.
INSERT INTO weather (origin, year, month, day, hour, temp, time_hour)
VALUES ('JFK', 2014, 1, 2, 0, 30.92, '2014-01-02 05:00:00+00');
INSERT INTO planes (tailnum, year, manufacturer, seats) VALUES ('LATE1', 2014, 'EXAMPLE', 1);
