-- The table that Lockstep follows; docs/catalogue.md explains each choice. Safe to run again.
-- REPLICA IDENTITY FULL and the grants are set by connectors/debezium/roles.sql, which comes after this file.
CREATE TABLE IF NOT EXISTS public.products (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    article_id    text COLLATE "C" NOT NULL UNIQUE,  -- "C": the unique index then serves pages in bytewise order
    name          text NOT NULL,
    description   text,
    product_type  text,
    product_group text,
    color         text,
    department    text,
    index_name    text,
    image_url     text,
    price         numeric(10,2),
    created_at    timestamptz DEFAULT now(),
    updated_at    timestamptz DEFAULT now()
);
