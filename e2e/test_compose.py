"""deploy/compose: the file, that the programs know what it tells them, and that its commands work together."""

import re
from urllib.parse import urlsplit

import bookstore
import pytest
import requests
import yaml
from parts import ports
from parts.operator import BIN, TREE
from parts.process import Process
from parts.redis import Redis
from parts.search import eventually
from parts.worker import pgsync, write_manifest
from test_help import help_of, options_of

COMPOSE = TREE / "deploy/compose"
PAGES = {"pgsync": "pgsync run", "bookstore": "bookstore"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def ours(compose):
    """The services that run our programs, by the program's name."""
    image = compose["x-program"]["image"]
    found = {name: service for name, service in compose["services"].items() if service["image"] == image}
    assert set(found) == set(PAGES)
    return found


def options(command):
    words = command[1:] if command[0] == "run" else command
    assert len(words) % 2 == 0 and all(word.startswith("--") for word in words[::2]), words
    return dict(zip(words[::2], words[1::2]))


def test_our_services_use_options_variables_and_files_that_exist(compose, ours):
    version = (TREE / "VERSION").read_text().strip()
    assert compose["x-program"]["image"] == f"${{PGSYNC_IMAGE:-localhost/pgsync-operator:{version}}}"
    for name, service in ours.items():
        assert service["entrypoint"] == [f"/usr/local/bin/{name}"]
        assert (service["command"][0] == "run") == (name == "pgsync")
        known, _ = options_of(PAGES[name])
        given = options(service["command"])
        assert set(given) <= known
        variables = set(re.findall(r"\bBOOKSTORE_[A-Z_]+", help_of(PAGES[name])))
        variables |= {"BOOKSTORE_" + option[2:].upper().replace("-", "_") for option in known} if name == "bookstore" else set()
        assert set(service.get("environment", {})) <= variables
        files = {volume.split(":")[1]: volume.split(":")[0] for volume in service.get("volumes", [])}
        assert {value for value in given.values() if value.startswith("/")} == set(files)
        for file in files.values():
            assert (COMPOSE / file).exists(), file


def test_services_find_each_other(compose, ours):
    (resource,) = [d for d in yaml.safe_load_all((COMPOSE / "pgsync.yaml").read_text()) if d["kind"] == "PgSync"]
    spec = resource["spec"]
    shop, worker = options(ours["bookstore"]["command"]), options(ours["pgsync"]["command"])
    urls = [*spec["sink"]["urls"], spec["checkpoint"]["redis"]["url"], shop["--search-url"], shop["--wait-url"]]
    hosts = {spec["source"]["host"], shop["--postgres-host"], *(urlsplit(url).hostname for url in urls)}
    assert hosts == set(compose["services"]) - {"bookstore"}
    assert urlsplit(shop["--wait-url"]).port == int(worker["--listen"].rpartition(":")[2])
    assert spec["source"]["database"] == "bookstore"


def test_postgres_decodes_and_has_the_roles_and_passwords_that_are_used(compose):
    assert "wal_level=logical" in compose["services"]["postgres"]["command"]
    roles = dict(re.findall(r"CREATE ROLE (\w+) LOGIN.* PASSWORD '([^']+)'", (COMPOSE / "roles.sql").read_text()))
    secret, resource = yaml.safe_load_all((COMPOSE / "pgsync.yaml").read_text())
    assert roles == {resource["spec"]["source"]["user"]: secret["stringData"]["password"],
                     "bookstore": compose["services"]["bookstore"]["environment"]["BOOKSTORE_POSTGRES_PASSWORD"]}


def test_only_this_machine_reaches_it_and_nothing_is_retried_by_a_shell(compose):
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not {"sh", "bash", "/bin/sh"} & {str(word) for key in ("entrypoint", "command") for word in service.get(key, [])}
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (COMPOSE / source).exists() if source.startswith(".") else source in compose["volumes"], volume
    assert len((COMPOSE / "console-token").read_text().strip()) >= 16


def test_its_pgsync_is_the_sample_with_redis_and_is_valid():
    code, out, err = pgsync("validate", "-f", COMPOSE / "pgsync.yaml")
    assert code == 0, out + err
    (of_compose,) = [d for d in yaml.safe_load_all((COMPOSE / "pgsync.yaml").read_text()) if d["kind"] == "PgSync"]
    (sample,) = [d for d in yaml.safe_load_all((TREE / "config/samples/bookstore.yaml").read_text()) if d["kind"] == "PgSync"]
    assert of_compose["spec"].pop("checkpoint")["store"] == "Redis"
    assert of_compose == sample


def test_its_commands_keep_the_bookstore_in_sync(compose, ours, state, unique, own_postgres, opensearch):
    """With the services' addresses replaced by those of this machine; our programs are started before there is a table or a Redis."""
    root = state / f"compose-{unique}"
    postgres = own_postgres()
    # As the image does, before others reach the server.
    for statement in (COMPOSE / "roles.sql").read_text().split(";\n")[:-1]:
        postgres.sql(statement)
    redis = Redis(root / "redis")
    listen, console, shop = ports.free_port(), ports.free_port(), ports.free_port()
    addresses = {"0.0.0.0:8080": f"127.0.0.1:{listen}", "0.0.0.0:8082": f"127.0.0.1:{console}", "0.0.0.0:8001": f"127.0.0.1:{shop}",
                 "postgres": "127.0.0.1", "http://opensearch:9200": opensearch.url, "http://pgsync:8080": f"http://127.0.0.1:{listen}",
                 "/etc/pgsync/pgsync.yaml": root / "pgsync.yaml", "/etc/pgsync/console-token": COMPOSE / "console-token"}
    secret, resource = yaml.safe_load_all((COMPOSE / "pgsync.yaml").read_text())
    spec = resource["spec"]
    spec["source"].update(host="127.0.0.1", port=postgres.port)
    spec["sink"]["urls"] = [opensearch.url]
    spec["schema"][0]["index"] = resource["metadata"]["name"] = f"compose-{unique}".lower().replace("_", "-")[-40:].strip("-")
    spec["checkpoint"]["redis"].update(url=redis.url, passwordSecretRef={"name": "redis", "key": "password"})
    write_manifest(root / "pgsync.yaml", [secret, bookstore.secret("redis", password=redis.password), resource])
    more = {"pgsync": [], "bookstore": ["--postgres-port", str(postgres.port), "--search-index", spec["schema"][0]["index"]]}
    runs = [Process(name, [BIN / name, *(addresses.get(word, word) for word in service["command"]), *more[name]], root / f"{name}.log",
                    env={"PATH": "/usr/bin:/bin", **service.get("environment", {})}) for name, service in ours.items()]
    try:
        redis.start()
        web = requests.Session()
        web.trust_env = False

        def finds():
            try:
                answer = web.get(f"http://127.0.0.1:{shop}/search?q=nueromancer", timeout=5)
                return answer.ok and "Neuromancer" in answer.text
            except requests.RequestException:
                return False

        eventually(finds, 60, lambda: "Neuromancer (" + "\n".join(run.tail(20) for run in runs) + ")", interval=0.3)
        assert len(redis.command("KEYS", "pgsync:*")) == 1
        assert web.get(f"http://127.0.0.1:{console}/", timeout=5).status_code in (200, 401)
        assert web.get(f"http://127.0.0.1:{console}/api/pgsyncs", timeout=5).status_code == 401
    finally:
        for run in runs:
            run.stop()
        redis.stop()
