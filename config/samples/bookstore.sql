-- The tables of the bookstore: books, their authors, and who wrote what. bookstore-books.sql fills them.
BEGIN;

CREATE TABLE IF NOT EXISTS books (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    isbn         text NOT NULL UNIQUE,
    title        text NOT NULL,
    price        numeric(10,2) NOT NULL CHECK (price >= 0),
    status       text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'withdrawn')),
    published_at timestamptz
);

CREATE TABLE IF NOT EXISTS authors (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    bio  text
);

CREATE TABLE IF NOT EXISTS book_authors (
    book_id   bigint NOT NULL REFERENCES books ON DELETE CASCADE,
    author_id bigint NOT NULL REFERENCES authors ON DELETE CASCADE,
    PRIMARY KEY (book_id, author_id)
);
CREATE INDEX IF NOT EXISTS book_authors_author_id ON book_authors (author_id);

COMMIT;
