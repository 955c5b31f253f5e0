-- The bookstore: books, their authors, and who wrote what. 25 published books to look at.
BEGIN;

CREATE TABLE books (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    isbn         text NOT NULL UNIQUE,
    title        text NOT NULL,
    price        numeric(10,2) NOT NULL CHECK (price >= 0),
    status       text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'withdrawn')),
    published_at timestamptz
);

CREATE TABLE authors (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    bio  text
);

CREATE TABLE book_authors (
    book_id   bigint NOT NULL REFERENCES books ON DELETE CASCADE,
    author_id bigint NOT NULL REFERENCES authors ON DELETE CASCADE,
    PRIMARY KEY (book_id, author_id)
);
CREATE INDEX book_authors_author_id ON book_authors (author_id);

INSERT INTO authors (name, bio) VALUES
    ('William Gibson', 'American-Canadian novelist; coined the word cyberspace.'),
    ('Bruce Sterling', 'American novelist and editor of the anthology Mirrorshades.'),
    ('Neal Stephenson', 'American novelist of science and historical fiction.'),
    ('Ursula K. Le Guin', 'American author of the Hainish novels and of Earthsea.'),
    ('Frank Herbert', 'American journalist and novelist, author of the Dune saga.'),
    ('Isaac Asimov', 'American writer and professor of biochemistry.'),
    ('Philip K. Dick', 'American novelist and author of more than a hundred short stories.'),
    ('Dan Simmons', 'American author of science fiction, horror and crime novels.'),
    ('Terry Pratchett', 'English author of the Discworld novels.'),
    ('Neil Gaiman', 'English author of novels, comics and screenplays.'),
    ('Stephen King', 'American author of horror and suspense.'),
    ('Peter Straub', 'American novelist and poet.'),
    ('Vernor Vinge', 'American novelist and professor of computer science.'),
    ('Aldous Huxley', 'English novelist and essayist.'),
    ('George Orwell', 'English novelist, essayist and journalist, born Eric Arthur Blair.'),
    ('Ray Bradbury', 'American author of novels, short stories and screenplays.'),
    ('J. R. R. Tolkien', 'English author and philologist.'),
    ('Mary Shelley', 'English novelist.'),
    ('Jane Austen', 'English novelist.'),
    ('Herman Melville', 'American novelist, short story writer and poet.'),
    ('Octavia E. Butler', 'American author of science fiction, a MacArthur fellow.'),
    ('Margaret Atwood', 'Canadian poet, novelist and critic.'),
    ('Frederick P. Brooks Jr.', 'American computer architect, who led the development of OS/360.'),
    ('Brian W. Kernighan', 'Canadian computer scientist, the K of AWK.'),
    ('Dennis M. Ritchie', 'American computer scientist, who created C.'),
    ('Rob Pike', 'Canadian programmer, co-author of UTF-8 and Go.'),
    ('Harold Abelson', 'American computer scientist and educator.'),
    ('Gerald Jay Sussman', 'American computer scientist, co-author of Scheme.'),
    ('Julie Sussman', NULL);

INSERT INTO books (isbn, title, price, status, published_at) VALUES
    ('9780441569595', 'Neuromancer', 9.99, 'published', '1984-07-01 00:00:00+00'),
    ('9780440423621', 'The Difference Engine', 18.00, 'published', '1990-09-01 00:00:00+00'),
    ('9780553380958', 'Snow Crash', 18.00, 'published', '1992-06-01 00:00:00+00'),
    ('9780441478125', 'The Left Hand of Darkness', 10.99, 'published', '1969-03-01 00:00:00+00'),
    ('9780061054884', 'The Dispossessed', 8.99, 'published', '1974-05-01 00:00:00+00'),
    ('9780441172719', 'Dune', 10.99, 'published', '1965-08-01 00:00:00+00'),
    ('9780553293357', 'Foundation', 8.99, 'published', '1951-06-01 00:00:00+00'),
    ('9780345404473', 'Do Androids Dream of Electric Sheep?', 16.00, 'published', '1968-03-01 00:00:00+00'),
    ('9780553283686', 'Hyperion', 8.99, 'published', '1989-05-26 00:00:00+00'),
    ('9780060853983', 'Good Omens', 8.99, 'published', '1990-05-10 00:00:00+00'),
    ('9780345444882', 'The Talisman', 7.99, 'published', '1984-11-08 00:00:00+00'),
    ('9780812515282', 'A Fire Upon the Deep', 9.99, 'published', '1992-04-01 00:00:00+00'),
    ('9780060850524', 'Brave New World', 17.99, 'published', '1932-02-04 00:00:00+00'),
    ('9780451524935', 'Nineteen Eighty-Four', 9.99, 'published', '1949-06-08 00:00:00+00'),
    ('9781451673319', 'Fahrenheit 451', 17.00, 'published', '1953-10-19 00:00:00+00'),
    ('9780547928227', 'The Hobbit', 14.95, 'published', '1937-09-21 00:00:00+00'),
    ('9780486282114', 'Frankenstein', 5.00, 'published', '1818-01-01 00:00:00+00'),
    ('9780141439518', 'Pride and Prejudice', 9.00, 'published', '1813-01-28 00:00:00+00'),
    ('9780142437247', 'Moby-Dick; or, The Whale', 14.00, 'published', '1851-10-18 00:00:00+00'),
    ('9780807083697', 'Kindred', 16.00, 'published', '1979-06-01 00:00:00+00'),
    ('9780385490818', 'The Handmaid''s Tale', 16.95, 'published', '1985-09-01 00:00:00+00'),
    ('9780201835953', 'The Mythical Man-Month', 44.99, 'published', '1975-01-01 00:00:00+00'),
    ('9780131103627', 'The C Programming Language', 67.99, 'published', '1978-02-22 00:00:00+00'),
    ('9780201615869', 'The Practice of Programming', 49.99, 'published', '1999-02-04 00:00:00+00'),
    ('9780262510875', 'Structure and Interpretation of Computer Programs', 75.00, 'published', '1985-01-01 00:00:00+00');

INSERT INTO book_authors (book_id, author_id)
SELECT b.id, a.id
FROM (VALUES
    ('Neuromancer', 'William Gibson'),
    ('The Difference Engine', 'William Gibson'),
    ('The Difference Engine', 'Bruce Sterling'),
    ('Snow Crash', 'Neal Stephenson'),
    ('The Left Hand of Darkness', 'Ursula K. Le Guin'),
    ('The Dispossessed', 'Ursula K. Le Guin'),
    ('Dune', 'Frank Herbert'),
    ('Foundation', 'Isaac Asimov'),
    ('Do Androids Dream of Electric Sheep?', 'Philip K. Dick'),
    ('Hyperion', 'Dan Simmons'),
    ('Good Omens', 'Terry Pratchett'),
    ('Good Omens', 'Neil Gaiman'),
    ('The Talisman', 'Stephen King'),
    ('The Talisman', 'Peter Straub'),
    ('A Fire Upon the Deep', 'Vernor Vinge'),
    ('Brave New World', 'Aldous Huxley'),
    ('Nineteen Eighty-Four', 'George Orwell'),
    ('Fahrenheit 451', 'Ray Bradbury'),
    ('The Hobbit', 'J. R. R. Tolkien'),
    ('Frankenstein', 'Mary Shelley'),
    ('Pride and Prejudice', 'Jane Austen'),
    ('Moby-Dick; or, The Whale', 'Herman Melville'),
    ('Kindred', 'Octavia E. Butler'),
    ('The Handmaid''s Tale', 'Margaret Atwood'),
    ('The Mythical Man-Month', 'Frederick P. Brooks Jr.'),
    ('The C Programming Language', 'Brian W. Kernighan'),
    ('The C Programming Language', 'Dennis M. Ritchie'),
    ('The Practice of Programming', 'Brian W. Kernighan'),
    ('The Practice of Programming', 'Rob Pike'),
    ('Structure and Interpretation of Computer Programs', 'Harold Abelson'),
    ('Structure and Interpretation of Computer Programs', 'Gerald Jay Sussman'),
    ('Structure and Interpretation of Computer Programs', 'Julie Sussman')
) AS wrote (title, name)
JOIN books AS b USING (title)
JOIN authors AS a USING (name);

COMMIT;
