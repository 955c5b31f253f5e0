"""Every fact of the catalog is changed, one at a time, under documents that use all kinds of objects. Either the index is rebuilt, or the
documents are right without that. The list is complete: each column of pg_catalog's tables is in a change, or is listed with a reason."""

import contextlib
import re
import time

import psycopg
import pytest
from parts.search import eventually
from test_catalog import generation, sync  # noqa: F401, a fixture

MADE = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TYPE inn AS (a int, b text)", "CREATE TYPE duo AS (a int, b text)", "CREATE TYPE outt AS (i inn, n int)", "CREATE TYPE span AS RANGE (SUBTYPE = mood)",
    "CREATE DOMAIN price AS numeric(10,2)", "CREATE COLLATION plain (PROVIDER = libc, LOCALE = 'C')",
    "CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
    "CREATE FUNCTION g(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
    "CREATE FUNCTION add1(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2'", "CREATE FUNCTION add2(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 2 * $2'",
    "CREATE AGGREGATE total(int) (SFUNC = add1, STYPE = int, INITCOND = '0')", "CREATE OPERATOR ## (FUNCTION = g, RIGHTARG = int)",
    "CREATE TEXT SEARCH DICTIONARY lower (TEMPLATE = simple)", "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH lower",
    "CREATE TABLE tops (id int PRIMARY KEY, word text, m mood, o outt, p price, r span, k int, gen int GENERATED ALWAYS AS (k * 2) STORED, d numeric(8,2), other int UNIQUE,"
    " unread inn, spare text)",
    "CREATE TABLE kids (id int PRIMARY KEY, top int, w text COLLATE plain, CONSTRAINT f FOREIGN KEY (top) REFERENCES tops)",
    "CREATE TABLE ones (id int PRIMARY KEY, top int REFERENCES tops, CONSTRAINT u UNIQUE (top))",
    "CREATE VIEW sums AS SELECT t.id, g(t.k) AS k, (SELECT total(k.id) FROM kids k WHERE k.top = t.id) AS sum FROM tops t",
    "INSERT INTO tops VALUES (1, 'Many Words', 'sad', ROW(ROW(1, 'x'), 2), 1.5, '[sad,ok]', 5, DEFAULT, 2.25, 1, ROW(1, 'y')), (2, 'Few', 'ok', NULL, NULL, NULL, 6, DEFAULT, 1, 2, NULL)",
    "INSERT INTO kids VALUES (1, 1, 'b'), (2, 1, 'A'), (3, 2, 'c')", "INSERT INTO ones VALUES (5, 1)"]

DOCUMENT = {"nodes": {
    "table": "tops", "columns": ["id", "word", "m", "o", "p", "r", "gen", "d"],
    "expressions": {"f": "f(k)", "op": "## k", "vector": "to_tsvector('public.words', word)", "pair": "row(k, word)::duo"},
    "children": [
        {"table": "kids", "columns": ["w"], "order_by": ["w"], "relationship": {"type": "one_to_many", "variant": "scalar"}},
        {"table": "ones", "columns": ["id"], "relationship": {"type": "one_to_one", "variant": "scalar"}},
        {"table": "sums", "columns": ["k", "sum"], "primary_key": ["id"], "base_tables": ["tops", "kids"],
         "relationship": {"type": "one_to_one", "variant": "object", "foreign_key": {"child": ["id"], "parent": ["id"]}}}]}}

# The same by one plain query.
WANTED = """SELECT t.id::text, (to_jsonb(t) - '{k,other,unread,spare,unused,list,fresh}'::text[]) || jsonb_build_object('f', f(k), 'op', ## k, 'vector', to_tsvector('public.words', word),
    'pair', row(k, word)::duo, 'kids', (SELECT jsonb_agg(w ORDER BY w, id) FROM kids WHERE LINK), 'ones', (SELECT id FROM ones o WHERE o.top = t.id ORDER BY id LIMIT 1),
    'sums', (SELECT jsonb_build_object('k', s.k, 'sum', s.sum) FROM sums s WHERE s.id = t.id)) FROM tops t"""

# One function of two, by what it returns.
G = "CREATE OR REPLACE FUNCTION g(n int) RETURNS int LANGUAGE {} IMMUTABLE {} AS '{}'"

REBUILT, RIGHT = "rebuilt", "right"
CHANGES = [
    (REBUILT, "pg_enum.enumlabel", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"),
    (RIGHT, "pg_enum.enumsortorder pg_enum.enumtypid", "ALTER TYPE mood ADD VALUE 'mad' BEFORE 'blue'"),
    (REBUILT, "pg_attribute.attname", "ALTER TYPE inn RENAME ATTRIBUTE a TO z"),
    (REBUILT, "pg_attribute.attname", "ALTER TYPE duo RENAME ATTRIBUTE a TO z"),
    (REBUILT, "pg_attribute.attnum pg_attribute.attrelid", "ALTER TYPE inn ADD ATTRIBUTE c text"),
    (REBUILT, "pg_attribute.attisdropped", "ALTER TYPE inn DROP ATTRIBUTE c"),
    (REBUILT, "pg_attribute.atttypmod", "ALTER TABLE tops ALTER d TYPE numeric(8,3)"),
    (REBUILT, "pg_attribute.atttypid pg_attribute.attlen pg_attribute.attbyval pg_attribute.attalign", "ALTER TABLE tops ALTER d TYPE double precision"),
    (REBUILT, "pg_attribute.attcollation", "ALTER TABLE kids ALTER w TYPE text COLLATE \"en-x-icu\""),
    (RIGHT, "pg_attribute.attstattarget", "ALTER TABLE tops ALTER word SET STATISTICS 50"),
    (RIGHT, "pg_attribute.attnotnull", "ALTER TABLE tops ALTER word SET NOT NULL"),
    (RIGHT, "pg_attribute.atthasdef pg_attrdef.adrelid pg_attrdef.adnum", "ALTER TABLE tops ALTER word SET DEFAULT 'x'"),
    (RIGHT, "pg_attrdef.adbin", "ALTER TABLE tops ALTER word SET DEFAULT 'y'"),
    (RIGHT, "pg_attribute.atthasmissing pg_attribute.attmissingval", "ALTER TABLE tops ADD COLUMN fresh int DEFAULT 5; ALTER TABLE tops DROP COLUMN fresh"),
    (RIGHT, "pg_attribute.attidentity", "ALTER TABLE tops ALTER id ADD GENERATED BY DEFAULT AS IDENTITY"),
    (RIGHT, "pg_attribute.attgenerated", "ALTER TABLE tops ALTER gen DROP EXPRESSION"),
    (RIGHT, "pg_attribute.attacl", "GRANT SELECT (word) ON tops TO public"),
    (RIGHT, "pg_attribute.attoptions", "ALTER TABLE tops ALTER word SET (n_distinct = 5)"),
    (RIGHT, "pg_attribute.attstorage", "ALTER TABLE tops ALTER word SET STORAGE EXTERNAL"),
    (RIGHT, "pg_attribute.attcompression", "ALTER TABLE tops ALTER word SET COMPRESSION pglz"),
    (RIGHT, "pg_attribute.attname", "ALTER TABLE tops RENAME spare TO unused"),
    (RIGHT, "pg_type.typname", "ALTER TYPE outt RENAME TO outer_type"),
    (RIGHT, "pg_type.typnamespace pg_namespace.nspname", "CREATE SCHEMA types; ALTER TYPE outer_type SET SCHEMA types; ALTER SCHEMA types RENAME TO other_types"),
    (RIGHT, "pg_type.typowner", "ALTER TYPE span OWNER TO CURRENT_USER; ALTER DOMAIN price OWNER TO CURRENT_USER"),
    (RIGHT, "pg_type.typacl", "GRANT USAGE ON TYPE mood TO public; REVOKE USAGE ON TYPE inn FROM public; GRANT USAGE ON TYPE inn TO public"),
    (RIGHT, "pg_type.typdefault pg_type.typdefaultbin", "ALTER DOMAIN price SET DEFAULT 1"),
    (RIGHT, "pg_type.typnotnull pg_constraint.contypid", "ALTER DOMAIN price ADD CONSTRAINT positive CHECK (VALUE > 0)"),
    (REBUILT, "pg_cast.castsource pg_cast.casttarget pg_cast.castfunc pg_cast.castcontext pg_cast.castmethod",
     "CREATE FUNCTION as_json(mood) RETURNS json LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN ''[7]''; END'; CREATE CAST (mood AS json) WITH FUNCTION as_json(mood)"),
    (REBUILT, "pg_proc.prosrc", G.format("plpgsql", "", "BEGIN RETURN $1 * 3; END")),
    (REBUILT, "pg_proc.prolang", G.format("sql", "", "SELECT $1 * 3")),
    (REBUILT, "pg_proc.prosqlbody", "CREATE OR REPLACE FUNCTION g(n int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 4"),
    (REBUILT, "pg_proc.proisstrict", "ALTER FUNCTION g STRICT"),
    (REBUILT, "pg_proc.prosecdef", "ALTER FUNCTION g SECURITY DEFINER"),
    (REBUILT, "pg_proc.proconfig", "ALTER FUNCTION g SET datestyle = 'ISO'"),
    (REBUILT, "pg_proc.proargdefaults pg_proc.pronargdefaults", "CREATE OR REPLACE FUNCTION g(n int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 4"),
    (RIGHT, "pg_proc.procost pg_proc.proparallel", "ALTER FUNCTION g COST 7 PARALLEL SAFE"),
    (RIGHT, "pg_proc.proacl", "GRANT EXECUTE ON FUNCTION g TO public; REVOKE EXECUTE ON FUNCTION f FROM public; GRANT EXECUTE ON FUNCTION f TO public"),
    (RIGHT, "pg_proc.proowner", "ALTER FUNCTION g OWNER TO CURRENT_USER"),
    (REBUILT, "pg_proc.proname pg_proc.pronamespace", "ALTER FUNCTION g RENAME TO h"),
    (REBUILT, "pg_aggregate.aggtransfn", "CREATE OR REPLACE AGGREGATE total(int) (SFUNC = add2, STYPE = int, INITCOND = '0')"),
    (REBUILT, "pg_aggregate.agginitval", "CREATE OR REPLACE AGGREGATE total(int) (SFUNC = add2, STYPE = int, INITCOND = '100')"),
    (RIGHT, "pg_operator.oprrest pg_operator.oprjoin", "ALTER OPERATOR ## (NONE, int) SET (RESTRICT = NONE)"),
    (RIGHT, "pg_operator.oprowner", "ALTER OPERATOR ## (NONE, int) OWNER TO CURRENT_USER"),
    (REBUILT, "pg_ts_config_map.mapdict", "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH english_stem"),
    (REBUILT, "pg_ts_config_map.mapcfg pg_ts_config_map.maptokentype pg_ts_config_map.mapseqno",
     "ALTER TEXT SEARCH CONFIGURATION words ALTER MAPPING FOR asciiword WITH lower, english_stem"),
    (REBUILT, "pg_ts_dict.dictinitoption", "ALTER TEXT SEARCH DICTIONARY lower (ACCEPT = false)"),
    (RIGHT, "pg_ts_dict.dictname", "ALTER TEXT SEARCH DICTIONARY lower RENAME TO lowered"),
    (REBUILT, "pg_rewrite.ev_action", "CREATE OR REPLACE VIEW sums AS SELECT t.id, h(t.k) AS k, (SELECT total(k.id + 1) FROM kids k WHERE k.top = t.id) AS sum FROM tops t"),
    (RIGHT, "pg_class.reloptions", "ALTER TABLE tops SET (fillfactor = 80); ALTER VIEW sums SET (security_barrier = true)"),
    (RIGHT, "pg_class.reltuples pg_class.relpages pg_class.relallvisible", "ANALYZE tops"),
    (RIGHT, "pg_class.relfilenode", "VACUUM FULL tops"),
    (RIGHT, "pg_class.relacl", "GRANT SELECT ON tops TO public"),
    (RIGHT, "pg_class.relowner", "ALTER TABLE tops OWNER TO CURRENT_USER"),
    (RIGHT, "pg_class.relchecks pg_constraint.conbin", "ALTER TABLE tops ADD CONSTRAINT c CHECK (k > 0)"),
    (RIGHT, "pg_class.relhastriggers pg_trigger.tgname",
     "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON tops FOR EACH ROW EXECUTE FUNCTION t()"),
    (RIGHT, "pg_class.relrowsecurity pg_policy.polname", "ALTER TABLE tops ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON tops USING (false)"),
    (RIGHT, "pg_class.relhasindex pg_index.indexrelid pg_index.indkey", "CREATE INDEX ON tops (word)"),
    (RIGHT, "pg_index.indisclustered", "ALTER TABLE tops CLUSTER ON tops_pkey"),
    (RIGHT, "pg_index.indisunique pg_constraint.contype", "ALTER TABLE ones DROP CONSTRAINT u; INSERT INTO ones VALUES (6, 1), (4, 1)"),
    (RIGHT, "pg_index.indisunique pg_index.indrelid", "DELETE FROM ones WHERE id > 4; CREATE UNIQUE INDEX u ON ones (top)"),
    (RIGHT, "pg_index.indisvalid", "DROP INDEX u; INSERT INTO ones VALUES (9, 1); TRY CREATE UNIQUE INDEX CONCURRENTLY u ON ones (top)"),
    (RIGHT, "pg_index.indimmediate pg_constraint.condeferrable pg_constraint.condeferred",
     "DROP INDEX u; DELETE FROM ones WHERE id > 4; ALTER TABLE ones ADD CONSTRAINT u UNIQUE (top) DEFERRABLE INITIALLY DEFERRED"),
    (RIGHT, "pg_constraint.conname", "ALTER TABLE kids RENAME CONSTRAINT f TO fk"),
    (RIGHT, "pg_constraint.convalidated", "ALTER TABLE kids DROP CONSTRAINT fk; ALTER TABLE kids ADD CONSTRAINT fk FOREIGN KEY (top) REFERENCES tops NOT VALID"),
    (REBUILT, "pg_constraint.confkey pg_constraint.conkey pg_constraint.confrelid",
     "ALTER TABLE kids DROP CONSTRAINT fk; ALTER TABLE kids ADD CONSTRAINT fk FOREIGN KEY (top) REFERENCES tops (other)"),
    (RIGHT, "pg_statistic_ext.stxname", "CREATE STATISTICS s ON k, word FROM tops"),
    (RIGHT, "pg_description.description", "COMMENT ON TABLE tops IS 'x'; COMMENT ON TYPE mood IS 'y'"),
    (RIGHT, "pg_attribute.attndims pg_class.relnatts", "ALTER TABLE tops ADD COLUMN list int[]; ALTER TABLE tops DROP COLUMN list"),
]

# Why a column is in no change.
IDENTITY = "says which row it is: another value is another row"
FIXED = "no statement changes it"
STORAGE = "how the server stores, plans or runs it"
ELSEWHERE = "other tests cover it, or it is refused"
OF_CHANGED = "is written together with the facts above"
UNCHANGED = {
    "pg_attribute": {OF_CHANGED: "attislocal attinhcount", FIXED: "attcacheoff attfdwoptions"},
    "pg_attrdef": {IDENTITY: "oid"},
    "pg_enum": {IDENTITY: "oid"},
    "pg_type": {IDENTITY: "oid typrelid typelem typarray", FIXED: "typtype typcategory typispreferred typisdefined typdelim typbasetype typtypmod typndims typcollation",
                STORAGE: "typlen typbyval typalign typstorage typsubscript typinput typoutput typreceive typsend typmodin typmodout typanalyze"},
    "pg_proc": {IDENTITY: "oid pronargs proargtypes proallargtypes proargmodes provariadic prokind", FIXED: "prorettype proretset protrftypes proargnames probin",
                STORAGE: "prorows prosupport proleakproof", ELSEWHERE: "provolatile"},
    "pg_aggregate": {IDENTITY: "aggfnoid aggkind aggnumdirectargs", STORAGE: "aggtransspace aggmtransspace",
                     OF_CHANGED: "aggfinalfn aggcombinefn aggserialfn aggdeserialfn aggmtransfn aggminvtransfn aggmfinalfn aggfinalextra aggmfinalextra"
                                 " aggfinalmodify aggmfinalmodify aggsortop aggtranstype aggmtranstype aggminitval"},
    "pg_operator": {IDENTITY: "oid oprname oprnamespace oprkind oprleft oprright oprresult oprcode", STORAGE: "oprcanmerge oprcanhash oprcom oprnegate"},
    "pg_collation": {IDENTITY: "oid collname collnamespace", STORAGE: "collowner",
                     FIXED: "collprovider collisdeterministic collencoding collcollate collctype collversion colliculocale colllocale collicurules"},
    "pg_cast": {IDENTITY: "oid"},
    "pg_range": {FIXED: "rngtypid rngsubtype rngmultitypid rngcollation rngsubopc rngcanonical rngsubdiff"},
    "pg_ts_config": {IDENTITY: "oid cfgname cfgnamespace cfgparser", STORAGE: "cfgowner"},
    "pg_ts_dict": {IDENTITY: "oid dictnamespace dicttemplate", STORAGE: "dictowner"},
    "pg_rewrite": {IDENTITY: "oid rulename ev_class ev_type is_instead ev_qual", FIXED: "ev_enabled"},
    "pg_class": {IDENTITY: "oid reltype relkind relisshared", STORAGE: "relam reltablespace reltoastrelid relrewrite relfrozenxid relminmxid relallfrozen reloftype relhasrules",
                 ELSEWHERE: "relname relnamespace relpersistence relhassubclass relforcerowsecurity relispopulated relreplident relispartition relpartbound"},
    "pg_index": {IDENTITY: "indnatts indnkeyatts indisprimary indisexclusion indexprs indpred indnullsnotdistinct", STORAGE: "indcollation indclass indoption indcheckxmin",
                 OF_CHANGED: "indisready indislive", ELSEWHERE: "indisreplident"},
    "pg_constraint": {IDENTITY: "oid conrelid connamespace conparentid conindid", STORAGE: "conislocal coninhcount connoinherit conexclop conpfeqop conppeqop conffeqop",
                      FIXED: "confupdtype confdeltype confmatchtype confdelsetcols conperiod conenforced"},
}
# Tables of pg_catalog that have no part in documents, or in which rows have no separate facts.
NO_PART = """pg_am pg_amop pg_amproc pg_opclass pg_opfamily pg_language pg_conversion pg_transform pg_tablespace pg_database pg_db_role_setting pg_parameter_acl
    pg_default_acl pg_init_privs pg_seclabel pg_shseclabel pg_shdescription pg_shdepend pg_depend pg_auth_members pg_authid pg_event_trigger pg_foreign_data_wrapper
    pg_foreign_server pg_foreign_table pg_user_mapping pg_largeobject pg_largeobject_metadata pg_sequence pg_statistic pg_statistic_ext pg_statistic_ext_data
    pg_subscription pg_subscription_rel pg_replication_origin pg_ts_parser pg_ts_template pg_description pg_namespace pg_trigger pg_policy""".split()
TESTED_ELSEWHERE = "pg_inherits pg_partitioned_table pg_publication pg_publication_rel pg_publication_namespace pg_extension".split()


def test_every_column_of_the_catalog_is_in_a_change_or_says_why_not(database):
    rows = database.sql("SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'pg_catalog'::regnamespace"
                        " AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum")
    changed = {name for _, names, _ in CHANGES for name in names.split()}
    explained = {f"{table}.{column}" for table, reasons in UNCHANGED.items() for columns in reasons.values() for column in columns.split()}
    missing = [f"{table}.{column}" for table, column in rows if table not in NO_PART + TESTED_ELSEWHERE and f"{table}.{column}" not in changed | explained]
    assert not missing, "what does a change of these mean for a document?"


def change(sync, statements):
    for statement in re.split(r"; (?=ALTER|CREATE|COMMENT|DELETE|DROP|GRANT|INSERT|REVOKE|TRY)", statements):
        # An index that could not be built remains, and is invalid.
        with contextlib.suppress(psycopg.errors.UniqueViolation) if statement.startswith("TRY ") else contextlib.nullcontext():
            sync.sql(statement.removeprefix("TRY "))


@pytest.mark.long
def test_each_fact_that_changes_rebuilds_the_index_or_changes_no_document(sync):
    sync.sql(*MADE)
    sync.start(DOCUMENT)
    link, wrong = "top = t.id", []

    def wanted():
        return {id: document for id, document in sync.sql(WANTED.replace("LINK", link))}

    sync.becomes(wanted(), timeout=10)
    for number, (outcome, names, statement) in enumerate(CHANGES):
        before = generation(sync)
        if "confkey" in names:
            link = "top = t.other"
        change(sync, statement)
        # A change to read, so that nothing has to wait for the next check of the catalog.
        sync.sql(f"UPDATE kids SET id = {100 + number} WHERE id >= 100 OR id = 3")
        try:
            sync.becomes(wanted(), timeout=20)
            eventually(lambda: sync.run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({sync.run.status()})")
            if outcome == REBUILT:
                eventually(lambda: generation(sync) != before, 40, "another generation")
                # The next change would otherwise be part of the same bootstrap.
                eventually(lambda: sync.run.status()["phase"] == "Streaming", 40, lambda: f"the end of the bootstrap ({sync.run.status()})")
                sync.becomes(wanted(), timeout=10)
            else:
                time.sleep(0.5)
                assert generation(sync) == before, "it was rebuilt"
        except AssertionError as error:
            wrong.append(f"{names}: {statement}: {error}")
    assert not wrong, "\n".join(wrong)
