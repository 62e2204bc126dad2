-- The source as an application would have it: keys, and change stamps that the database itself sets.
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat double precision,
    lon double precision,
    alt integer,
    tz integer,
    dst text,
    tzone text,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year integer,
    type text,
    manufacturer text,
    model text,
    engines integer,
    seats integer,
    speed integer,
    engine text,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE weather (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL,
    year integer,
    month integer,
    day integer,
    hour integer,
    temp double precision,
    dewp double precision,
    humid double precision,
    wind_dir integer,
    wind_speed double precision,
    wind_gust double precision,
    precip double precision,
    pressure double precision,
    visib double precision,
    time_hour timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE flights (
    flight_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    year integer NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    dep_time integer,
    sched_dep_time integer,
    dep_delay integer,
    arr_time integer,
    sched_arr_time integer,
    arr_delay integer,
    carrier text NOT NULL,
    flight integer NOT NULL,
    tailnum text,
    origin text NOT NULL,
    dest text NOT NULL,
    air_time integer,
    distance integer,
    hour integer,
    minute integer,
    time_hour timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    RETURN NEW;
END $$;

CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON airports FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON planes FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON flights FOR EACH ROW EXECUTE FUNCTION stamp();

-- What a strategy does not promise to notice is written down here, so that the comparison knows what to expect.
CREATE SCHEMA journal;
