#!/usr/bin/env python3
"""Writes the CRD of PgSync: deploy/crds/pgsyncs.pgsync.io.yaml, and the chart's template with the same contents.

A structural schema cannot recurse, so `children` of schema.json is unrolled here to a depth of six; what lies deeper is
kept as it is and checked by the operator. With --check nothing is written, and the exit code says whether the files are
what this script would write.

Two rules decide where an error is reported. Our own fields are strict: an unknown one is refused by `kubectl apply`, with its
path. A schema.json inside `spec.schema` is a foreign document: its unknown keys are kept, so that no client can have them
dropped in silence, and the operator refuses them in the condition SchemaAccepted, naming the path and the nearest known key.
Wrong types, unknown words and missing keys are refused at once in both.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRD = ROOT / "deploy/crds/pgsyncs.pgsync.io.yaml"
CHART = ROOT / "deploy/helm/pgsync-operator/templates/crds.yaml"
DEPTH = 6
MAX_BYTES = 200_000
MAX_NONCE = 2**53 - 1  # the largest integer that every JSON tool keeps

# --- YAML ---------------------------------------------------------------------------------------------------------------

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def scalar(value):
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def emit(value, indent=0):
    """The lines of a block-style YAML document."""
    pad = "  " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                yield f"{pad}{scalar(key)}:"
                yield from emit(item, indent + (not isinstance(item, list)))
            else:
                yield f"{pad}{scalar(key)}: {scalar(item)}"
        return
    for item in value:
        if isinstance(item, (dict, list)) and item:
            first, *rest = emit(item, indent + 1)
            yield f"{pad}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{pad}- {scalar(item)}"


# --- schema words -------------------------------------------------------------------------------------------------------


def string(description, *, longest=253, shortest=1, **more):
    return {"description": description, "type": "string", "minLength": shortest, "maxLength": longest, **more}


def enum(description, *words, default=None):
    return {"description": description, "type": "string", "enum": list(words), **({"default": default} if default else {})}


def integer(description, low, high, default=None):
    bounds = {"description": description, "type": "integer", "format": "int64", "minimum": low, "maximum": high}
    return {**bounds, **({} if default is None else {"default": default})}


def boolean(description, default=None):
    return {"description": description, "type": "boolean", **({} if default is None else {"default": default})}


def array(description, items, most, least=None, kind="atomic", **more):
    bounds = {"maxItems": most} if least is None else {"minItems": least, "maxItems": most}
    return {"description": description, "type": "array", "x-kubernetes-list-type": kind, **bounds, **more, "items": items}


def obj(description, properties, required=(), rules=(), defaulted=False, foreign=False, **more):
    """An object. defaulted: it is there, with its defaults, even when it is not written; foreign: unknown keys stay."""
    out = {"description": description, "type": "object", **more}
    if defaulted:
        out["default"] = {name: p["default"] for name, p in properties.items() if "default" in p}
    if required:
        out["required"] = list(required)
    if foreign:
        out["x-kubernetes-preserve-unknown-fields"] = True
    if rules:
        out["x-kubernetes-validations"] = [dict(rule) for rule in rules]
    out["properties"] = properties
    return out


def anything(description, **more):
    return {"description": description, "type": "object", "x-kubernetes-preserve-unknown-fields": True, **more}


def rule(expression, message, path=None):
    return {"rule": expression, "message": message, **({"fieldPath": path} if path else {})}


def matches(pattern, message):
    # A rule instead of `pattern`, because its message is readable.
    return {"x-kubernetes-validations": [rule(f"self.matches({json.dumps(pattern)})", message)]}


DNS_NAME = matches(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "must be the name of an object: lower-case letters, digits, '-' and '.'")
KEY_NAME = matches(r"^[-._a-zA-Z0-9]+$", "must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'")
SLOT_NAME = matches(r"^[a-z0-9_]+$", "may contain only lower-case letters, digits and '_'")


def reference(description, what, key=None):
    """A reference to an object in the same namespace; key: the default of its key, where it has one."""
    properties = {"name": string(f"Name of the {what}, in the namespace of this PgSync.", **DNS_NAME)}
    if key:
        properties["key"] = string(f"Key within the {what}.", default=key, **KEY_NAME)
    return obj(description, properties, required=["name"])


def secret(description, key=None):
    return reference(description, "Secret", key)


# --- spec.schema: pgsync's schema.json ----------------------------------------------------------------------------------


def names(description, longest=63, most=64, **more):
    return array(description, {"type": "string", "minLength": 1, "maxLength": longest}, most, **more)


def relationship():
    # A list of names; pgsync takes a single name too, so the type is left open here. What bounds lists holds for a list,
    # what bounds strings for a name.
    def columns(whose):
        return {"description": f"List of columns of {whose} table, in the order of the other side's.",
                "x-kubernetes-preserve-unknown-fields": True, "minItems": 1, "maxItems": 32, "minLength": 1, "maxLength": 63,
                "items": {"type": "string", "minLength": 1, "maxLength": 63}}

    return obj(
        "How rows of this table belong to a row of the parent. Required on every node but the root.",
        {
            "type": enum("Whether one or many rows of this table belong to one of the parent: it decides between an object "
                         "or value and a list of them.", "one_to_one", "one_to_many"),
            "variant": enum("object: the chosen columns of each row. scalar: the value of the first column alone.",
                            "object", "scalar"),
            "through_tables": names("The through table between the two, as table or schema.table.", 127, 16),
            "foreign_key": obj(
                "The columns that join the two tables. Required if there is no foreign key constraint, or more than one.",
                {
                    "child": columns("this"),
                    "parent": columns("the parent's"),
                },
                required=["child", "parent"], foreign=True),
        },
        required=["type", "variant"], foreign=True)


def node(level):
    """A node of the tree, with `children` below it down to DEPTH."""
    root = level == 0
    who = "root" if root else "child"
    properties = {
        "table": string("The table, view or materialized view that this node reads.", longest=63),
        "schema": string("The schema of the table. Default: public.", longest=63),
        "label": string("The key of this node in its parent's document. Default: the name of the table.",
                        longest=255, nullable=True),
        "columns": names("The columns to include, by name. Default: all.", 1024, 1600, nullable=True),
        "primary_key": names("The key columns of a relation without a primary key, such as a view.", most=32, nullable=True),
        "base_tables": names("The tables that a view reads: a change to one of them counts as a change to the view.", 127, 64, nullable=True),
        "transform": anything("Changes to the fields: replace, rename, concat, move, mapping, as in pgsync.", nullable=True),
        "where": string("An immutable SQL condition on this table's columns; it must not depend on other rows.", longest=8192),
        "expressions": {"description": "Computed fields: a name, and an immutable SQL expression on this table's columns.",
                        "type": "object", "maxProperties": 256, "nullable": True,
                        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 8192}},
    }
    if root:
        del properties["label"]
    else:
        properties["relationship"] = relationship()
        properties["order_by"] = names("Order of the elements: \"column\", \"column desc\", \"column asc nulls last\". "
                                       "Default: the primary key.", 127, 32, nullable=True)
        properties["limit"] = integer("Maximum number of elements.", 1, 10000)
        properties["nested"] = boolean("Map the elements as nested documents.")
    below = "Tables that are joined to this one; each becomes a key of its document."
    if level < DEPTH:
        properties["children"] = array(below, node(level + 1), 64, nullable=True)
    else:
        deeper = f"{below} At this depth the operator validates them, not the API server."
        properties["children"] = array(deeper, anything("A child, with the same keys as its parent."), 64, nullable=True)
    description = ("The root of the tree: each of its rows becomes a document." if root
                   else f"A {who} table at depth {level} of the tree.")
    return obj(description, properties, required=["table"] + ([] if root else ["relationship"]), foreign=True)


def document():
    index = matches(r'^[^-_+A-Z\\/*?"<>| ,#:][^A-Z\\/*?"<>| ,#:]*$',
                    "must be an index name: lower-case, not beginning with '-', '_' or '+', and without \\ / * ? \" < > | , # : "
                    "or blanks")
    return obj(
        "One index, and the tree of tables whose rows become its documents.",
        {
            "index": string("Name of the index that searches use: an alias for the live index generation. Default: the name of "
                            "the database.", longest=200, **index),
            "database": string("The database. Default: that of `source`.", longest=63),
            "nodes": node(0),
            "setting": anything("Settings of the index: settings.index of each new index generation."),
            "mapping": anything("Mapping of the index: its properties, or a whole mapping if it has dynamic_templates. "
                                "Default: generated from the tables."),
            "pipeline": string("Name of the ingest pipeline for each document."),
            "routing": string("Field of the document that selects its shard."),
        },
        required=["nodes"], foreign=True)


# --- spec ---------------------------------------------------------------------------------------------------------------


def source():
    replication = obj(
        "The replication slot and publication, and what pgsync may change on the tables for them.",
        {
            "slotName": string("Name of the replication slot. Default: derived from namespace, name and uid of this PgSync, "
                               "see status.stream.slotName. Immutable.", longest=63, **SLOT_NAME),
            "publicationName": string("Name of the publication. Default: derived like the name of the slot. One that exists without pgsync's "
                                      "mark, the comment `pgsync: NAMESPACE/NAME`, is used as it is; it is neither altered nor dropped. "
                                      "Immutable.", longest=63),
            "replicaIdentity": enum("Manage: set the replica identity of tables whose old link columns would be missing from the "
                                    "WAL, and restore it on deletion. Verify: refuse, and report the statement to run.",
                                    "Manage", "Verify", default="Manage"),
            "slotLostPolicy": enum("What to do when the slot is gone or was invalidated. Resync: build a new index generation "
                                   "behind the alias. Stall: wait for an administrator.", "Resync", "Stall", default="Resync"),
            "failover": boolean("Make the slot a failover slot, which is synchronized to standbys (PostgreSQL 17 or later): the stream "
                                "then continues after a promotion, without a rebuild.",
                                default=False),
            "maxRetainedWAL": integer("Bytes of WAL that the slot may make the server retain. Beyond them pgsync drops the slot, so that "
                                      "the WAL does not fill the disk while the search engine is away; once it is back, the index is "
                                      "rebuilt, or what slotLostPolicy says. Default: no limit.", 1048576, 1 << 50),
        },
        defaulted=True)
    limits = obj(
        "How much of the server a worker may use, so that the application comes first.",
        {
            "connections": integer("Maximum number of sessions at a time, replication included. A worker has one for the stream, one for "
                                   "its changes, one for checks, one that watches whether others wait for the worker's locks, and "
                                   "bootstrap.parallelism of them while an index is filled; if there are not enough, the bootstrap uses "
                                   "fewer. Default: 4 more than bootstrap.parallelism.", 5, 64),
            "statementTimeoutSeconds": integer("Maximum time of a statement that reads rows for documents. One that takes longer is cancelled, "
                                               "and repeated for half of its rows. If it takes longer for a single row, nothing is skipped: "
                                               "the condition Ready says so (LimitExceeded), and pgsync tries again. A root that is a view is "
                                               "read by a single statement, for which there is no limit.", 1, 86400, 600),
            "snapshotAgeSeconds": integer("Maximum time that a bootstrap keeps a snapshot, which holds back vacuum, even while the search engine "
                                          "accepts nothing. After that, the rest is read in smaller parts, each with a new snapshot. The documents of "
                                          "a single row, and those of a view, are always read in one snapshot.", 1, 86400, 60),
        },
        defaulted=True)
    tls = obj(
        "TLS towards Postgres.",
        {
            "mode": enum("Disable: no TLS. Prefer: TLS if the server offers it. Require: TLS, without checking the certificate. "
                         "VerifyCA: check its authority. VerifyFull: also check the host name. Default: VerifyFull with a caSecretRef, "
                         "else Prefer. Anything below VerifyFull towards another host is a warning.",
                         "Disable", "Prefer", "Require", "VerifyCA", "VerifyFull"),
            "caSecretRef": secret("The certificates of the authorities to trust, in PEM.", "ca.crt"),
        },
        rules=[rule("!has(self.mode) || !(self.mode in ['VerifyCA', 'VerifyFull']) || has(self.caSecretRef)",
                    "`caSecretRef` must be set when `mode` is 'VerifyCA' or 'VerifyFull'")])
    plain_path = matches(r"^(/[^/]*[^/.][^/]*)+$", "must be an absolute path without empty parts, `.` and `..`")
    password_from = obj(
        "Where the role's password is read, again for each connection: tokens of RDS, Cloud SQL and Azure expire, and one that has "
        "been replaced is used without a restart. Exactly one of `secretRef`, `file` and `exec`, instead of `passwordSecretRef`.",
        {
            "secretRef": secret("A Secret that something replaces in time. With `worker.placement` Pod it is mounted, and read for "
                                "each connection; elsewhere a worker starts again when it changes, as with `passwordSecretRef`.",
                                "password"),
            "file": string("A file that holds the password; line breaks at its end do not count. For `pgsync run`.", longest=1024,
                           **plain_path),
            "exec": obj("A program that prints the password within 30 seconds. For `pgsync run` alone: in the cluster, it is "
                        "refused.", {
                            "command": array("Path of the program, and its arguments; there is no shell.",
                                             {"type": "string", "minLength": 1, "maxLength": 1024}, 32, least=1),
                        }, required=["command"]),
        },
        rules=[rule("!has(self.exec)", "`exec` is for `pgsync run` alone; in the cluster use `secretRef`"),
               rule("!has(self.file)", "`file` is for `pgsync run` alone; in the cluster use `secretRef`"),
               rule("[has(self.secretRef), has(self.file), has(self.exec)].exists_one(given, given)",
                    "exactly one of `secretRef`, `file` and `exec` must be set")])
    return obj(
        "The Postgres database to follow.",
        {
            "host": string("Host name or address of the server. A name without a dot is a Service in the PgSync's namespace, if the "
                           "operator runs in the cluster. Exactly one of `host` and `connectionSecretRef`."),
            # No default here: it would hide the port of a connectionSecretRef.
            "port": integer("Port of the server. Default: 5432.", 1, 65535),
            "database": string("Name of the database. Default: that of the documents in `schema`. Immutable: a slot belongs to "
                               "one database.", longest=63),
            "user": string("Role to log in as. It needs REPLICATION, and ownership of the tables to publish them.", longest=63),
            "passwordSecretRef": secret("The role's password.", "password"),
            "passwordFrom": password_from,
            "allowedAuth": array("How the server may ask for the password. SCRAM: it learns nothing about it. MD5: it gets a digest that it "
                                 "can guess the password from. Cleartext: it gets the password. Default: SCRAM alone.",
                                 {"type": "string", "enum": ["SCRAM", "MD5", "Cleartext"]}, most=3, least=1),
            "connectionSecretRef": secret("A Secret with the keys host, port, dbname, username or user, and password; or uri. "
                                          "Fields set here take precedence."),
            "tls": tls,
            "searchPath": names("Schemas in which the names in `where` and `expressions` are looked up, in this order, after "
                                "pg_catalog. Default: the schemas of the tables in `schema`. Name only schemas in which "
                                "only trusted roles can create functions.", least=1),
            "replication": replication,
            "limits": limits,
        },
        rules=[
            rule("has(self.connectionSecretRef) != has(self.host)", "exactly one of `connectionSecretRef` or `host` must be set"),
            rule("!has(self.host) || has(self.user)", "`user` must be set together with `host`"),
            rule("!has(self.passwordFrom) || !has(self.passwordSecretRef)",
                 "`passwordFrom` and `passwordSecretRef` must not both be set"),
        ])


def sink():
    url = {"type": "string", "minLength": 1, "maxLength": 2048, **matches(
        r"^https?://[^/@?#]+(/[^@?#]*)?$",
        "must be an http or https URL without user and password; credentials belong in `authentication`")}
    authentication = obj(
        "How to log in to the search engine.",
        {
            "type": enum("None, or: Basic (keys username and password), APIKey (key apiKey), Bearer (key token), AWS: requests "
                         "are signed with an access key (keys accessKeyId and secretAccessKey, and sessionToken if the "
                         "credentials are temporary).",
                         "None", "Basic", "APIKey", "Bearer", "AWS", default="None"),
            "secretRef": secret("The Secret with the keys that the type needs."),
            "region": {"type": "string", "description": "For AWS: the region of the domain, such as eu-central-1.", "minLength": 1,
                       "maxLength": 64, **matches("^[a-z0-9-]+$", "must be a region of AWS, such as eu-central-1")},
        },
        defaulted=True,
        rules=[rule("has(self.secretRef) == (self.type != 'None')",
                    "`secretRef` must be set exactly when `type` is 'Basic', 'APIKey', 'Bearer' or 'AWS'"),
               rule("has(self.region) == (self.type == 'AWS')", "`region` must be set exactly when `type` is 'AWS'")])
    bulk = obj(
        "Size and number of bulk requests. They also limit the worker's memory.",
        {
            "maxBytes": integer("Maximum size of a bulk request, in bytes; a larger document is sent alone. Larger requests are "
                                "rarely faster, and a worker may hold `concurrency` + 1 of them for each of its writers.",
                                65536, 104857600, 1048576),
            "concurrency": integer("Maximum number of concurrent bulk requests.", 1, 16, 2),
            "flushMilliseconds": integer("How long a change may wait for others under load, in milliseconds. An idle stream flushes at once.",
                                         0, 10000, 20),
        },
        defaulted=True)
    return obj(
        "The Elasticsearch (7.17 or later) or OpenSearch that holds the index.",
        {
            "urls": array("Addresses of the cluster, tried in turn. A host without a dot is a Service in the PgSync's namespace, if the "
                          "operator runs in the cluster.", url, 16, least=1),
            "authentication": authentication,
            "tls": obj("TLS towards the search engine.", {
                "caSecretRef": secret("The certificates of the authorities to trust, in PEM. Default: the system's.",
                                      "ca.crt"),
                "insecureSkipVerify": boolean("Do not check the server's certificate. For testing only.", default=False),
            }),
            "bulk": bulk,
            "adoptExistingIndex": boolean("Replace a real index that has the alias's name: it is deleted when the new generation "
                                          "is complete. Otherwise such an index is left alone and reported.", default=False),
        },
        required=["urls"])


def policies():
    def policy(what, default):
        return enum(what, "Delete", "Retain", default=default)

    return obj(
        "What happens to objects outside the cluster when this PgSync is deleted.",
        {
            "replicationSlot": policy("The replication slot. An unused slot makes Postgres retain WAL until the disk is full.", "Delete"),
            "publication": policy("The publication.", "Delete"),
            "index": policy("The index, its alias and its dead letters. A retained index can still be searched. A new PgSync of the "
                            "same namespace and name builds another index, moves the alias, and then deletes it; otherwise it stays.", "Retain"),
            "checkpoint": policy("The record of bootstrap progress and index generations.", "Delete"),
        },
        defaulted=True)


def pod_template():
    def plain(description, longest, **more):
        return {"description": description, "type": "string", "maxLength": longest, **more}

    toleration = obj("Taints of nodes that do not keep the pod away.", {
        "key": plain("Key of the taint. Default: any, with operator Exists.", 317),
        "operator": enum("Equal: key and value are the taint's. Exists: any value.", "Exists", "Equal"),
        "value": plain("Value of the taint, with operator Equal.", 63),
        "effect": enum("Effect of the taint. Default: any.", "NoSchedule", "PreferNoSchedule", "NoExecute"),
        "tolerationSeconds": integer("How long the pod stays on a node after the taint was set.", 0, 2147483647),
    }, rules=[
        rule("has(self.operator) && self.operator == 'Exists' || has(self.key) && self.key != ''",
             "`key` must be set unless `operator` is 'Exists'"),
        rule("!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
             "`value` must not be set when `operator` is 'Exists'"),
        rule("!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
             "`effect` must be 'NoExecute' when `tolerationSeconds` is set")])
    constraint = obj("How far the numbers of workers' pods may differ.", {
        "maxSkew": integer("By how many pods.", 1, 1000),
        "topologyKey": string("Label of the nodes whose values are compared, such as topology.kubernetes.io/zone.", longest=317),
        "whenUnsatisfiable": enum("What to do if the pod would break it.", "DoNotSchedule", "ScheduleAnyway"),
    }, required=["maxSkew", "topologyKey", "whenUnsatisfiable"])
    return obj("What the pod gets, for placement Pod, as in a Pod.", {
        "nodeSelector": {"description": "Labels of the nodes that may run the pod.", "type": "object", "maxProperties": 32,
                         "additionalProperties": {"type": "string", "maxLength": 63}},
        "tolerations": array("Taints of nodes that do not keep the pod away.", toleration, 16),
        "priorityClassName": string("Name of its PriorityClass.", **DNS_NAME),
        "topologySpreadConstraints": array("How the workers' pods of the namespace are spread. The pods that are counted are "
                                           "those of all its PgSyncs.", constraint, 8),
        "imagePullSecrets": array("Secrets with which the image is pulled, in the namespace of this PgSync.",
                                  reference("A Secret.", "Secret"), 8),
    })


def worker():
    quantity = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "maxLength": 64}

    def amounts(description):
        return {"description": description, "type": "object", "maxProperties": 16, "additionalProperties": dict(quantity)}

    return obj(
        "The process that does the work.",
        {
            "placement": enum("Process: a child process of the operator. Pod: a Deployment in the namespace of this PgSync, which "
                              "the operator's restart, upgrade or loss does not touch; the operator must allow it "
                              "(--worker-image).", "Process", "Pod", default="Process"),
            "resources": obj("Resources of the container, for placement Pod.", {
                "limits": amounts("Maximum use, such as cpu: 500m, memory: 64Mi."),
                "requests": amounts("What the scheduler reserves."),
            }),
            "podTemplate": pod_template(),
        },
        defaulted=True)


def checkpoint():
    redis = obj("The Redis server, for store Redis. Leave it here after a change to Sink until the worker has moved the checkpoint.", {
        "url": string("Address: redis://host:port/database, or rediss:// for TLS. With `sentinels`, the host is the name that "
                      "they know the master by.", longest=2048, **matches(
            r"^rediss?://[^/@?#]+(/[0-9]*)?$", "must be a redis or rediss URL without a password; that belongs in "
            "`passwordSecretRef`")),
        "sentinels": array("Sentinels, host:port each, that are asked for the address of the master. Default port: 26379.",
                           {"type": "string", "minLength": 1, "maxLength": 253}, 16, least=1),
        "username": string("The user (Redis 6 and later). Default: the server's default user.", longest=253),
        "passwordSecretRef": secret("The password.", "password"),
        "tls": obj("TLS towards Redis, for rediss:// addresses.", {
            "caSecretRef": secret("The certificates of the authorities to trust, in PEM. Default: the system's.", "ca.crt"),
        }),
    }, required=["url"], rules=[
        rule("!has(self.username) || has(self.passwordSecretRef)", "`passwordSecretRef` must be set when `username` is"),
        rule("!has(self.tls) || !has(self.tls.caSecretRef) || self.url.startsWith('rediss://')",
             "`url` must begin with rediss:// when `tls.caSecretRef` is set")])
    return obj(
        "Where bootstrap progress and index generations are recorded.",
        {
            "store": enum("Sink: in the search engine, next to the index. Redis: in Redis, with a stamp in the search engine that "
                          "says which record is current.", "Sink", "Redis", default="Sink"),
            "redis": redis,
        },
        defaulted=True,
        rules=[rule("self.store != 'Redis' || has(self.redis)", "`redis` must be set when `store` is 'Redis'")])


def immutable(path, message):
    """A rule for the object above: the field may not be added, changed or removed once its owner exists."""
    *parents, leaf = path.split(".")

    def there(side):
        steps, terms = side, []
        for name in [*parents, leaf]:
            steps += f".{name}"
            terms.append(f"has({steps})")
        return "(" + " && ".join(terms) + ")"

    new, old = there("self"), there("oldSelf")
    return rule(f"{new} == {old} && (!{old} || self.{path} == oldSelf.{path})", message, f".{path}")


def spec():
    slot = "source.replication.slotName"
    publication = "source.replication.publicationName"
    return obj(
        "The desired state: a source, a sink, and a schema that describes which tables become which documents.",
        {
            "source": source(),
            "sink": sink(),
            "schema": array("A pgsync schema.json, unchanged; hence its keys in snake_case. One entry for each index. Exactly "
                            "one of `schema` and `schemaConfigMapRef`.", document(), 16, least=1),
            "schemaConfigMapRef": reference("A ConfigMap with the schema.json, for long schemas.", "ConfigMap", "schema.json"),
            "documents": obj("The format of documents, apart from the schema.", {
                "meta": enum("Pgsync: include pgsync's `_meta`, the keys of all rows in a document.", "None", "Pgsync",
                             default="None"),
                "idFormat": enum("How a key of several columns becomes an _id: values joined by '|', either Escaped so that no two "
                                 "keys share an id, or as Pgsync does it.", "Escaped", "Pgsync", default="Escaped"),
                "mapping": enum("Generated: strict, from the types of the columns. Dynamic: by the search engine, from the first "
                                "document that has a field. `mapping` in the schema overrides either.", "Generated",
                                "Dynamic", default="Generated"),
            }, defaulted=True),
            "checkpoint": checkpoint(),
            "bootstrap": obj("How the index is filled before the stream keeps it in sync.", {
                "policy": enum("IfNeeded: whenever there is no complete index generation for this schema. Never: only stream.",
                               "IfNeeded", "Never", default="IfNeeded"),
                "parallelism": integer("Number of connections that copy in parallel.", 1, 16, 2),
            }, defaulted=True),
            "onError": obj("What to do with a document that the index rejects.", {
                "policy": enum("DeadLetter: store it with the reason in <index>-dead-letters and continue. Stall: stop and wait for "
                               "an administrator.", "DeadLetter", "Stall", default="DeadLetter"),
            }, defaulted=True),
            "lagTargetSeconds": integer("Maximum lag of a Ready resource, in seconds.", 1, 86400, 60),
            "mode": enum("Sync: fill the index and keep it in sync. Plan: check everything and list in `status.findings` what a start "
                         "would find and do, with why it would rebuild an index; nothing is changed in Postgres or the search "
                         "engine. A worker that is running stops; its slot stays, and Postgres retains the WAL from then on.", "Sync", "Plan", default="Sync"),
            "suspend": boolean("Stop the data flow. The slot stays, and Postgres retains the WAL from then on.", default=False),
            "resyncNonce": integer("Increase it to build a new index generation. May not decrease.", 0, MAX_NONCE, 0),
            "restartNonce": integer("Change it to restart the worker.", 0, MAX_NONCE, 0),
            "deletionPolicy": policies(),
            "worker": worker(),
        },
        required=["source", "sink"],
        rules=[
            rule("has(self.schema) != has(self.schemaConfigMapRef)",
                 "exactly one of `schema` or `schemaConfigMapRef` must be set"),
            rule("!has(self.source.host) || has(self.source.database) || has(self.schemaConfigMapRef) || (has(self.schema) && "
                 "self.schema.exists(d, has(d.database)))",
                 "`source.database` must be set when no document of `schema` names one", ".source.database"),
            rule("!has(self.schema) || (has(self.source.database) ? self.schema.all(d, !has(d.database) || d.database == "
                 "self.source.database) : self.schema.all(d, !has(d.database) || self.schema.all(e, !has(e.database) || "
                 "e.database == d.database)))",
                 "all documents must name the database of `source`: a slot belongs to one database", ".schema"),
            rule("!has(self.schema) || self.schema.all(d, !has(d.index) || self.schema.filter(e, has(e.index) && e.index == "
                 "d.index).size() == 1)", "each index may appear once in `schema`", ".schema"),
            immutable("source.database", "database is immutable; create a new PgSync"),
            immutable(slot, "slotName is immutable; create a new PgSync"),
            immutable(publication, "publicationName is immutable; create a new PgSync"),
            rule("self.mode != 'Plan' || !self.suspend", "suspend may not be true in Plan mode", ".suspend"),
            rule("self.resyncNonce >= oldSelf.resyncNonce", "resyncNonce may not decrease", ".resyncNonce"),
        ])


# --- status -------------------------------------------------------------------------------------------------------------


def text(description, longest=1024):
    return {"description": description, "type": "string", "maxLength": longest}


def time(description):
    return {"description": description, "type": "string", "format": "date-time", "maxLength": 64}


def count(description):
    return {"description": description, "type": "integer", "format": "int64", "minimum": 0}


def conditions():
    condition = obj("One aspect of the state.", {
        "type": string("Ready, Reconciling, Stalled, Degraded, SourceReachable, SinkReachable, SchemaAccepted, "
                       "BootstrapComplete, Streaming, SlotHealthy, Planned or Suspended.", longest=316),
        "status": {"description": "True, False or Unknown.", "type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": string("One machine-readable word.", longest=1024),
        "message": text("What was found, what was expected and what to do.", 32768),
        "observedGeneration": count("The metadata.generation for which this was observed."),
        "lastTransitionTime": time("When the status last changed."),
    }, required=["type", "status", "reason", "message", "lastTransitionTime"])
    return {"description": "The state, by aspect. Ready means that data flows: streaming, lag within the target, the newest spec "
                           "applied.", "type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"], "maxItems": 32, "items": condition}


def status():
    exit_ = obj("How the last worker ended.", {
        "exitCode": count("Its exit code; absent if a signal ended it."),
        "signal": count("The signal that ended it."),
        "reason": text("One machine-readable word."),
        "message": text("Its message."),
        "time": time("When it ended."),
    })
    index = obj("One index.", {
        "name": text("The name that searches use: an alias."),
        "physicalName": text("The concrete index behind the alias."),
        "documentCount": count("Documents in it."),
        "health": text("green, yellow or red, as reported by the search engine."),
        "deadLetters": count("Documents that the search engine rejected."),
        "nulledValues": count("Values written as null since the worker started, because no search engine accepts them: "
                              "infinite dates, NaN and infinite numbers."),
        "droppedDocuments": count("Documents that an ingest pipeline dropped since the worker started, each time they were "
                                  "written: they are not in the index."),
    }, required=["name"])
    return obj("The observed state. Only the operator writes it.", {
        # Below every generation: before the operator has written anything, tools that wait for a resource must not
        # take it for up to date.
        "observedGeneration": {**count("The metadata.generation that this status describes; -1: no operator has written a "
                                       "status yet."), "minimum": -1},
        "phase": text("A summary for display: Pending, Bootstrapping, CatchingUp, Streaming, Planned, Suspended, Failed or "
                      "Deleting. Programs read the conditions."),
        "conditions": conditions(),
        "operator": obj("The operator that works on this PgSync.", {
            "lease": text("Namespace and name of its Lease, which it renews every few seconds. While the holder of another Lease is "
                          "alive, an operator leaves the PgSync alone."),
        }),
        "worker": obj("The worker process.", {
            "identity": text("The operator's pod or host, and how often it was started."),
            "placement": text("Process or Pod."),
            "startTime": time("When it was started."),
            "restartCount": count("How often it was restarted."),
            "sandbox": array("The parts of the sandbox that are in force: privileges, memory, limits, files, calls. Those that "
                             "are not there are not supported by the node's kernel, or --worker-sandbox=off is set.",
                             text("Its name."), 16),
            "lastExit": exit_,
        }),
        "bootstrap": obj("The copy into the current index generation.", {
            "progress": text("Progress in percent, such as 42%."),
            "rowsDone": count("Rows of the root tables that are indexed."),
            "rowsTotal": count("Rows of the root tables, estimated at the start."),
            "startTime": time("When it began."),
            "completionTime": time("When it was completed."),
        }),
        "stream": obj("The stream from the replication slot.", {
            "slotName": text("Name of the replication slot."),
            "publicationName": text("Name of the publication."),
            "confirmedFlushLSN": text("Everything up to this position is durable in the index."),
            "lagBytes": count("WAL written but not yet confirmed, in bytes."),
            "lagSeconds": count("Age of the oldest change that is not yet in the index, in seconds."),
            "lag": text("The lag for display, such as 0s or 3m."),
            "retainedWALBytes": count("WAL that the server retains for the slot, in bytes."),
            "retainedWAL": text("The same for display, such as 16MiB."),
            "slotState": text("Active, Inactive or Lost."),
        }),
        "indices": {"description": "The indices.", "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"], "maxItems": 16, "items": index},
        "findings": {"description": "What the last checks of this generation found: errors first, then, in Plan mode, what a start would "
                                    "change, then warnings.", "type": "array", "x-kubernetes-list-type": "atomic", "maxItems": 64,
                     "items": obj("One finding.", {
                         "severity": text("Error: nothing runs until it is fixed. Change: a start does this. Warning: advice."),
                         "reason": text("One machine-readable word."),
                         "path": text("The field of the spec that it is about.", 4096),
                         "message": text("What was found, what was expected and what to do.", 4096),
                         "statement": text("The SQL that does it.", 8192),
                     }, required=["severity", "message"])},
        "moreFindings": count("How many findings did not fit into the list."),
        "retriedDeadLetters": text("The value of the annotation pgsync.io/retry-dead-letters for which the documents of all dead "
                                   "letters were tried again last."),
    }, default={"observedGeneration": -1})


# --- the definition -----------------------------------------------------------------------------------------------------


def column(name, kind, path, wide=False):
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


def ready(part):
    return f'.status.conditions[?(@.type=="Ready")].{part}'


def definition():
    schema = obj(
        "PgSync keeps search indices continuously in sync with joins of Postgres tables.",
        {
            "apiVersion": {"description": "Version of this kind of object: pgsync.io/v1alpha1.", "type": "string"},
            "kind": {"description": "PgSync.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec(),
            "status": status(),
        },
        required=["spec"],
        rules=[rule("self.metadata.name.size() <= 52",
                    "name must be at most 52 characters: names such as the slot's are derived from it")])
    columns = [
        column("Ready", "string", ready("status")),
        column("Phase", "string", ".status.phase"),
        column("Index", "string", ".status.indices[0].name"),
        column("Lag", "string", ".status.stream.lag"),
        column("Bootstrap", "string", ".status.bootstrap.progress"),
        column("Age", "date", ".metadata.creationTimestamp"),
        column("Documents", "integer", ".status.indices[0].documentCount", wide=True),
        column("Slot", "string", ".status.stream.slotName", wide=True),
        column("Retained", "string", ".status.stream.retainedWAL", wide=True),
        column("Worker", "string", ".status.worker.identity", wide=True),
        column("Operator", "string", ".status.operator.lease", wide=True),
        column("Reason", "string", ready("reason"), wide=True),
        column("Message", "string", ready("message"), wide=True),
    ]
    version = {"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
               "additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": schema}}
    return {
        "group": "pgsync.io",
        "names": {"kind": "PgSync", "listKind": "PgSyncList", "plural": "pgsyncs", "singular": "pgsync", "shortNames": ["pgs"],
                  "categories": ["pgsync"]},
        "scope": "Namespaced",
        "versions": [version],
    }


HEAD = ["# Written by hack/crd.py.", "apiVersion: apiextensions.k8s.io/v1", "kind: CustomResourceDefinition", "metadata:",
        "  name: pgsyncs.pgsync.io"]


def files():
    body = ["spec:", *emit(definition(), 1)]
    plain = "\n".join([*HEAD, *body]) + "\n"
    assert "{{" not in plain, "the chart's template needs no escapes"
    chart = "\n".join([
        "{{- if .Values.crds.install }}", *HEAD, "  labels:", '    {{- include "pgsync-operator.labels" . | nindent 4 }}',
        "  {{- if .Values.crds.keep }}", "  annotations:", "    # `helm uninstall` leaves it, and so every PgSync, in place.",
        "    helm.sh/resource-policy: keep", "  {{- end }}", *body, "{{- end }}"]) + "\n"
    return {CRD: plain, CHART: chart}


def main():
    written = files()
    for path, contents in written.items():
        if len(contents.encode()) > MAX_BYTES:
            sys.exit(f"{path.relative_to(ROOT)} has {len(contents.encode())} bytes, more than {MAX_BYTES}")
    if sys.argv[1:] == ["--check"]:
        stale = [str(p.relative_to(ROOT)) for p, c in written.items() if not p.exists() or p.read_text() != c]
        if stale:
            sys.exit(f"not what hack/crd.py writes, run it: {', '.join(stale)}")
        return
    if sys.argv[1:]:
        sys.exit("usage: hack/crd.py [--check]")
    for path, contents in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents)


if __name__ == "__main__":
    main()
