"""Ways into a MySQL or MariaDB catalog: URLs, ZenML's own settings, TLS for real; and the password is nowhere to be read."""

from __future__ import annotations

import datetime
import ipaddress
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from marksweep.catalog.zenml.catalog import ZenmlCatalog
from marksweep.catalog.zenml.discover import discover
from marksweep.catalog.zenml.mysql_url import TLS, address, configured
from marksweep.errors import CatalogNotUnderstood, MarksweepError, UsageError
from tests.contract.mysql_worlds import NEWEST, Swept, opened, setting
from tests.support.cli import Cli
from tests.support.mariadb import LOOPBACK, PASSWORD, USER, MariaDbServer
from tests.support.mariadb_catalogs import MariaDbCatalog, in_mariadb

CANARY = "canary-s3cret"
ODD = "p@ss/w?rd:#%&+ 'ü\\"
"""A password that no URL takes as it is."""


def arguments(url: str) -> Mapping[str, object]:
    return address(url).arguments


# What a URL says


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql"])
def test_a_url_names_everything(scheme: str) -> None:
    """The port may be left out. What is shown holds no user and no password."""
    found = address(f"{scheme}://me:{CANARY}@db.example:3307/zen")
    asked = {name: found.arguments[name] for name in ("host", "port", "user", "password", "database")}
    assert asked == {"host": "db.example", "port": 3307, "user": "me", "password": CANARY, "database": "zen"}
    assert found.shown == "zen on db.example:3307"
    assert CANARY not in repr(found)
    assert arguments(f"{scheme}://me:x@h/zen")["port"] == 3306
    assert "ssl" not in found.arguments


@pytest.mark.parametrize("password", [ODD, "a/b", "a?b", "a:b", "a%40b", "@", "%"])
def test_odd_passwords_are_percent_encoded(password: str) -> None:
    """Whole, with every character."""
    assert arguments(f"mysql://me:{quote(password, safe='')}@h/zen")["password"] == password


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:a@{CANARY}@h/zen",
        f"mysql://me:a@h/{CANARY}@h/zen",
        f"mysql://me:a@h?{CANARY}=1@h/zen",
        f"mysql://me:a@h/zen?ssl_ca={CANARY}@x",
        f"mysql://me:{CANARY}@h",
        f"mysql://:{CANARY}@h/zen",
        f"mysql://me:{CANARY}@/zen",
        f"mysql://me:{CANARY}@h:port/zen",
        f"mysql://me:{CANARY}@h/zen?nonsense=1",
        f"mysql://me:{CANARY}@h/zen?ssl_ca=/nowhere/{'x' * 9}.pem",
        f"mysql+mysqldb://me:{CANARY}@h/zen",
        f"mysql:///{CANARY}",
        f"mysql {CANARY}",
    ],
)
def test_a_url_that_cannot_be_used_is_not_repeated(url: str) -> None:
    """An '@' in a password would make the rest of it the host, which is shown to people."""
    with pytest.raises(UsageError) as raised:
        address(url)
    error = raised.value
    assert error.remedy
    assert CANARY not in f"{error!r}{error.fact}{error.remedy}{error.__cause__!r}"


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stands in the URL goes before it: other users see the command lines of processes."""
    monkeypatch.setenv("MARKSWEEP_MYSQL_PASSWORD", "from-environment")
    assert arguments("mysql://me@h/zen")["password"] == "from-environment"
    assert arguments("mysql://me:x@h/zen")["password"] == "x"


# ZenML's own settings


@pytest.mark.parametrize("where", ["environment", "file", "both"])
def test_zenmls_settings_are_put_together_as_zenml_does(tmp_path: Path, where: str) -> None:
    """User, password and database beside the URL; a variable replaces what stands in the file."""
    settings = {"username": "me@tenant", "password": ODD, "database": "zen", "ssl": "true"}
    environ: dict[str, str] = {"ZENML_CONFIG_PATH": str(tmp_path)}
    if where == "environment":
        environ["ZENML_STORE_URL"] = "mysql://h:3307"
        environ |= {f"ZENML_STORE_{name.upper()}": value for name, value in settings.items()}
    else:
        block = {"type": "sql", "url": "mysql://h:3307/", **settings, "secrets_store": {"type": "sql"}}
        if where == "both":
            block["password"] = CANARY
            environ["ZENML_STORE_PASSWORD"] = ODD
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"store": block}))
    place = discover(environ)
    found = arguments(place.url)
    assert (found["host"], found["port"], found["database"]) == ("h", 3307, "zen")
    assert (found["user"], found["password"]) == ("me@tenant", ODD)
    assert isinstance(found["ssl"], ssl.SSLContext)
    assert place.shown == "mysql://h:3307/zen"
    assert repr(place).count("me@tenant") == 0


def test_what_stands_in_the_url_goes_first() -> None:
    """As in ZenML: user, password, database, TLS, each by itself."""
    settings = {"username": "u", "password": "p", "database": "d", "ssl": "true"}
    whole = "mysql://me:x@h/zen?ssl=false"
    assert configured(whole, settings) == whole
    assert configured("mysql://me@h/zen", settings) == "mysql://me:p@h/zen?ssl=true"
    assert configured("mysql://h", settings) == "mysql://u:p@h/d?ssl=true"


def test_a_login_without_a_password_is_refused(tmp_path: Path) -> None:
    """ZenML since 0.98 can log in by a cloud's own identities."""
    environ = {
        "ZENML_CONFIG_PATH": str(tmp_path), "ZENML_STORE_URL": "mysql://h/zen", "ZENML_STORE_AUTH_MODE": "aws_rds_iam",
        "ZENML_STORE_USERNAME": "me",
    }  # fmt: skip
    with pytest.raises(UsageError, match="'aws_rds_iam', which marksweep cannot") as raised:
        discover(environ)
    assert "--catalog mysql://" in raised.value.remedy


@pytest.mark.parametrize("how", ["in the URL", "beside it"])
@pytest.mark.parametrize("as_text", [False, True], ids=["files", "text"])
def test_each_tls_setting_is_taken_in_both_places(tmp_path: Path, keys: Keys, how: str, as_text: bool) -> None:
    """Certificates as files or, as ZenML also takes them, as the text itself."""
    given = {"ssl_ca": keys.ca, "ssl_cert": keys.client, "ssl_key": keys.client_key}
    settings = {name: path.read_text() if as_text else str(path) for name, path in given.items()}
    settings |= {"ssl": "true", "ssl_verify_server_cert": "true"}
    assert settings.keys() == set(TLS)
    environ = {"ZENML_CONFIG_PATH": str(tmp_path), "ZENML_STORE_URL": "mysql://me:x@h/zen"}
    if how == "in the URL":
        environ["ZENML_STORE_URL"] += "?" + "&".join(f"{k}={quote(v, safe='')}" for k, v in settings.items())
    else:
        environ |= {f"ZENML_STORE_{k.upper()}": v for k, v in settings.items()}
    context = arguments(discover(environ).url)["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [c["subject"] for c in context.get_ca_certs()] == [((("commonName", "right"),),)]
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_what_each_tls_setting_asks_for(keys: Keys) -> None:
    """``ssl`` alone encrypts; an authority is checked against; only ``ssl_verify_server_cert`` looks at the name."""
    base = "mysql://me:x@h/zen?"
    for query, verify, name in (
        ("ssl=true", ssl.CERT_NONE, False),
        ("ssl=yes", ssl.CERT_NONE, False),
        (f"ssl_ca={keys.ca}", ssl.CERT_REQUIRED, False),
        (f"ssl_ca={keys.ca}&ssl_verify_server_cert=1", ssl.CERT_REQUIRED, True),
        ("ssl_verify_server_cert=true", ssl.CERT_REQUIRED, True),
    ):
        context = arguments(base + query)["ssl"]
        assert isinstance(context, ssl.SSLContext)
        assert (context.verify_mode, context.check_hostname) == (verify, name), query
    for query in ("ssl=false", "ssl=0", "ssl_verify_server_cert=no", ""):
        assert "ssl" not in arguments(base + query)


@pytest.mark.parametrize("setting", ["ssl_ca", "ssl_cert", "ssl_key"])
def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path, keys: Keys, setting: str) -> None:
    """Without repeating a word of it: it may be a key."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text(f"-----BEGIN NONSENSE-----\n{CANARY}\n")
    given = {"ssl_ca": keys.ca, "ssl_cert": keys.client, "ssl_key": keys.client_key, setting: wrong}
    with pytest.raises(UsageError, match="certificates cannot be used") as raised:
        address("mysql://me:x@h/zen?" + "&".join(f"{k}={v}" for k, v in given.items()))
    assert CANARY not in f"{raised.value!r}{raised.value.fact}"


# TLS for real


@dataclass(frozen=True)
class Keys:
    """Two authorities, and what the right one signed: a server for 127.0.0.1, one for another name, and a client."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "right.pem"

    @property
    def wrong_ca(self) -> Path:
        return self.folder / "wrong.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    def options(self, server: str) -> dict[str, str]:
        """For a server with the certificate of that name."""
        pem = {"ssl_ca": "right.pem", "ssl_cert": f"{server}.pem", "ssl_key": f"{server}.key"}
        return {option: str(self.folder / file) for option, file in pem.items()}


def _certificate(
    folder: Path,
    name: str,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *names: x509.GeneralName,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return made, key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    right = _certificate(folder, "right", None)
    _certificate(folder, "wrong", None)
    _certificate(folder, "server", right, x509.IPAddress(ipaddress.ip_address(LOOPBACK)))
    _certificate(folder, "elsewhere", right, x509.DNSName("db.example"))
    _certificate(folder, "client", right)
    return Keys(folder)


@pytest.fixture(scope="module")
def guarded(
    mariadb_base: Path, keys: Keys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MariaDbServer, MariaDbCatalog]]:
    """A server that offers TLS; ``few`` is let in with a client's certificate only, ``safe`` by TLS only."""
    with MariaDbServer(mariadb_base, **keys.options("server")) as server:
        real = in_mariadb(NEWEST, server, tmp_path_factory.mktemp("guarded"))
        for user, needs in (("few", "X509"), ("safe", "SSL")):
            server.execute(f"CREATE USER {user}@'%' IDENTIFIED BY '{CANARY}' REQUIRE {needs}")
            server.execute(f"GRANT ALL ON `{real.database.name}`.* TO {user}@'%'")
        yield server, real


def cipher(url: str) -> str:
    """What the session is encrypted with; empty if it is not."""
    with opened(url, writes=False) as catalog, catalog._database.reading() as connection:
        ((_, found),) = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").fetchall()
        return str(found)


def shut(url: str) -> MarksweepError:
    with pytest.raises(CatalogNotUnderstood, match="cannot be opened") as raised, opened(url, writes=False):
        pass
    said = f"{raised.value!r}{raised.value.fact}{raised.value.remedy}"
    assert CANARY not in said
    assert PASSWORD not in said
    assert "TLS" in raised.value.remedy
    return raised.value


def test_the_right_authority_is_accepted_and_the_wrong_one_refused(
    guarded: tuple[MariaDbServer, MariaDbCatalog], keys: Keys
) -> None:
    """With and without a look at the name."""
    url = guarded[1].url
    for name in ("", "&ssl_verify_server_cert=true"):
        assert cipher(f"{url}?ssl_ca={keys.ca}{name}")
        assert "certificate verify failed" in shut(f"{url}?ssl_ca={keys.wrong_ca}{name}").fact
    assert cipher(f"{url}?ssl=true")


def test_the_name_of_the_server_is_compared_when_asked(
    guarded: tuple[MariaDbServer, MariaDbCatalog], mariadb_base: Path, keys: Keys
) -> None:
    """A certificate for another host is one of another host."""
    with MariaDbServer(mariadb_base, **keys.options("elsewhere")) as server:
        url = server.url("zenml_x")
        assert "certificate verify failed" in shut(f"{url}?ssl_ca={keys.ca}&ssl_verify_server_cert=true").fact
        assert "1049" in shut(f"{url}?ssl_ca={keys.ca}").fact, "it is let in, to a database that is not there"


def test_a_client_certificate_is_shown(guarded: tuple[MariaDbServer, MariaDbCatalog], keys: Keys) -> None:
    """To a server that asks for one."""
    server, real = guarded
    url = f"{server.url(real.database.name, user='few', password=CANARY)}?ssl_ca={keys.ca}"
    assert "1045" in shut(url).fact
    assert cipher(f"{url}&ssl_cert={keys.client}&ssl_key={keys.client_key}")


def test_a_server_without_tls_is_refused_when_tls_is_asked_for(
    mariadb: MariaDbServer, mariadb_catalog: Callable[..., MariaDbCatalog], keys: Keys
) -> None:
    """Never plain in silence, and refused before the login: the server does not get to know the user."""
    real = mariadb_catalog(NEWEST)
    assert cipher(real.url) == ""
    wrong = mariadb.url(real.database.name, user="intruder", password=CANARY)
    with setting(mariadb, "log_warnings", 9):
        for query in ("ssl=true", f"ssl_ca={keys.ca}", "ssl_verify_server_cert=1"):
            assert "SSL" in shut(f"{wrong}?{query}").fact
        assert "intruder" not in mariadb.last_words()
        assert "1045" in shut(wrong).fact
        assert "intruder" in mariadb.last_words()


# The password is nowhere


def leaks(folder: Path, secrets: tuple[str, ...]) -> list[str]:
    """Files below *folder* that hold one of *secrets* in any spelling."""
    spellings = {
        s.encode() for secret in secrets for s in (secret, quote(secret, safe=""), quote(secret), repr(secret))
    }
    return [str(f) for f in folder.rglob("*") if f.is_file() and any(s in f.read_bytes() for s in spellings)]


def test_no_password_is_written_or_said_in_a_whole_mark_and_sweep(
    mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path
) -> None:
    """Plan, receipt, journal, logs, both streams, with ``--json`` too; and a login that fails."""
    real = mariadb_catalog(NEWEST)
    world = Swept.marked(real, tmp_path / "home")
    said = [world.cli("show", world.plan), world.cli("explain", sorted(real.by_id)[0], "--catalog", real.url)]
    said += [world.sweep(None, "--dry-run"), world.sweep(None, "--json"), world.cli("status", world.plan)]
    wrong = real.url.replace(quote(PASSWORD, safe=""), CANARY)
    said += [world.sweep(wrong), world.cli("mark", "--catalog", wrong), world.cli("mark", "--catalog", wrong, "--json")]
    assert [s.status for s in said[-3:]] == [25, 25, 25]
    for ended in said:
        for secret in (PASSWORD, quote(PASSWORD, safe=""), CANARY):
            assert secret not in ended.out + ended.err, ended
    assert leaks(tmp_path / "home", (PASSWORD, CANARY)) == []
    assert any((tmp_path / "home").glob("*journal*"))
    with closing(sqlite3.connect(next((tmp_path / "home").glob("*journal*")))) as journal:
        assert PASSWORD not in "".join(journal.iterdump())


def test_a_bug_does_not_show_the_password_either(
    mariadb_catalog: Callable[..., MariaDbCatalog], tmp_path: Path
) -> None:
    """A traceback of a process of its own, with an error that nobody expected."""
    real = mariadb_catalog(NEWEST)
    program = (
        "import sys, marksweep.catalog.zenml.mysql as m\n"
        "def broken(*_): raise ValueError('unexpected')\n"
        "m.MysqlDatabase.now = broken\n"
        "from marksweep.cli.main import main\n"
        "sys.argv[1:] = ['mark', '--no-grace']\n"
        "main()\n"
    )
    (tmp_path / "home").mkdir()
    environment = Cli(tmp_path / "home", {"ZENML_CONFIG_PATH": str(real.config)}).environment()
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "unexpected" in ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr
    assert quote(PASSWORD, safe="") not in ended.stdout + ended.stderr


def test_the_configuration_of_a_client_is_enough(
    mariadb_catalog: Callable[..., MariaDbCatalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``config.yaml`` with the password in a key of its own, or all of it in variables, as a server is deployed."""
    real = mariadb_catalog(NEWEST)
    host = real.url.rpartition("@")[2].partition("/")[0]
    variables = {
        "ZENML_STORE_URL": f"mysql://{host}", "ZENML_STORE_USERNAME": USER, "ZENML_STORE_PASSWORD": PASSWORD,
        "ZENML_STORE_DATABASE": real.database.name, "ZENML_STORE_SSL": "False",
    }  # fmt: skip
    for environ in ({"ZENML_CONFIG_PATH": str(real.config)}, variables):
        with closing(ZenmlCatalog(discover(environ), writes=False)) as catalog:
            assert catalog.identity().dialect == "mariadb"
