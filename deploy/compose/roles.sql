-- The tables will belong to `bookstore`; `pgsync` publishes and reads them.
CREATE ROLE bookstore LOGIN PASSWORD 'change-me';
CREATE ROLE pgsync LOGIN REPLICATION PASSWORD 'change-me' IN ROLE bookstore;
CREATE DATABASE bookstore OWNER bookstore;
GRANT CREATE ON DATABASE bookstore TO pgsync;
