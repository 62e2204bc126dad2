-- Tables to try DataLoader with, for a PostgreSQL database of your own: psql -f crm.sql

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TABLE customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    country    char(2),
    credit     numeric(12, 2),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE customers IS 'Everyone who ever ordered.';
COMMENT ON COLUMN customers.credit IS 'In euros.';
CREATE INDEX ON customers (updated_at);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION stamp();

CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    order_date  date NOT NULL,
    amount      numeric(12, 2) NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (updated_at);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp();

CREATE TABLE events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL,
    payload jsonb
);
COMMENT ON TABLE events IS 'Written once, never changed.';

CREATE TABLE countries (
    code char(2) PRIMARY KEY,
    name text NOT NULL
);

INSERT INTO countries VALUES ('DE', 'Germany'), ('FR', 'France'), ('PL', 'Poland'), ('PT', 'Portugal');
INSERT INTO customers (name, country, credit)
SELECT 'customer ' || n, (ARRAY['DE', 'FR', 'PL', 'PT'])[1 + n % 4], n * 10 FROM generate_series(1, 1000) AS n;
INSERT INTO orders (customer_id, order_date, amount)
SELECT 1 + n % 1000, current_date - n % 60, n / 100.0 FROM generate_series(1, 10000) AS n;
INSERT INTO events (kind, payload)
SELECT 'visit', jsonb_build_object('page', n % 7) FROM generate_series(1, 5000) AS n;
ANALYZE;
