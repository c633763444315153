"""Signing with stock ``ssh-keygen -Y sign``: keys in an agent, on a FIDO token or smart card, or behind a passphrase.

No secret comes into this program: ``ssh-keygen`` asks the agent, or the person at the terminal. It is given the bytes
through a pipe, so that their size does not matter, and what it returns is only believed after
:func:`marksweep.plan.sshsig.seal` verified it. Sources: ssh-keygen(1), ssh-add(1), and for the prompts OpenSSH's readpass.c.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from marksweep.errors import SignatureRefused, UsageError
from marksweep.plan.document import shown
from marksweep.plan.publickey import PublicKey
from marksweep.plan.sshsig import Message, dearmor, seal

PATIENCE = 180.0
"""Seconds that ``ssh-keygen`` may take without taking or giving a byte: somebody may look for a token meanwhile."""
PROBE_NAMESPACE = "marksweep-probe@marksweep.dev"
"""What :meth:`KeygenKey.ready` signs in; nobody accepts it for anything."""

_INSTALL = "install OpenSSH's client, or sign with a key file without a passphrase"
_TRY = "see that `ssh-keygen -Y sign -n test -f FILE` can sign with that key"
_AGENT_PATIENCE = 10.0
_KEPT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Prompts:
    """What ``ssh-keygen`` may do to the person at the terminal: ask, if *allowed*; *tell* says beforehand what is wanted."""

    allowed: bool
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A key that the agent holds, and its comment, as whoever added it wrote it."""

    public: PublicKey
    comment: str


class KeygenKey:
    """A key that ``ssh-keygen`` signs with. *file* is its ``.pub`` file or its private key; None if an agent holds it."""

    def __init__(self, public: PublicKey, file: Path | None, prompts: Prompts) -> None:
        self.public = public
        self._file = file
        self._prompts = prompts

    def ready(self) -> None:
        """Sign a few bytes that mean nothing: whoever has to touch or to unlock something is asked at once."""
        if self._file is not None:
            self._prompts.tell(f"A test that {self._name()} can sign; it signs in earnest when the work is done.")
        seal(self, PROBE_NAMESPACE, Message.of(b"This signature means nothing.\n"), touch_required=False)

    def sshsig(self, namespace: str, message: Message) -> bytes:
        """The blob that ``ssh-keygen -Y sign`` makes of *message*; raise UsageError when it makes none."""
        if self.public.algorithm.startswith("sk-"):
            self._prompts.tell(f"Touch the security key {self.public.fingerprint} when it blinks.")
        with self._named() as name:
            text = self._signed(["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", name], message)
        try:
            return dearmor(text)
        except SignatureRefused:
            raise UsageError(f"ssh-keygen returned no signature by {self._name()}", _TRY) from None

    def _named(self) -> AbstractContextManager[str]:
        return nullcontext(str(self._file)) if self._file is not None else _PublicFile(self.public)

    def _signed(self, command: list[str], message: Message) -> str:
        environ = dict(os.environ)
        # Never a window, unless the person asked for one: with a pipe as its input, ssh-keygen would prefer it to the
        # terminal. And where nobody can answer, it has no terminal either.
        if not self._prompts.allowed or "SSH_ASKPASS_REQUIRE" not in environ:
            environ["SSH_ASKPASS_REQUIRE"] = "never"
        try:
            child = subprocess.Popen(  # noqa: S603 - no shell; all words but the key's path are ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=environ,
                start_new_session=not self._prompts.allowed,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(f"ssh-keygen cannot be run: {error.strerror}", _INSTALL) from None
        with child:
            try:
                out, err = _fed(child, message.chunks())
            except TimeoutError:
                child.kill()
                raise UsageError(
                    f"ssh-keygen did not answer for {PATIENCE:.0f} seconds, and {self._name()} signed nothing",
                    "touch the key, or answer its prompt, sooner; is the agent alive (`ssh-add -l`)?",
                ) from None
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            raise self._refusal(err.decode("utf-8", "replace"))
        return out.decode("utf-8", "replace")

    def _refusal(self, said: str) -> UsageError:
        """What ``ssh-keygen`` said, and what to do about it; its words are those of 8.9 to 10."""
        lines = [line for line in said.splitlines() if line.strip() and line != "Signing data on standard input"]
        fact = f"ssh-keygen did not sign with {self._name()}: {shown(lines[-1] if lines else 'it said nothing')}"
        if "agent refused operation" in said:
            return UsageError(
                f"the agent refused to sign with {self._name()}: it is locked, or nobody confirmed or touched it in time",
                "unlock it (`ssh-add -X`), then run again and confirm or touch when asked",
            )
        if "No private key found" in said:
            agent = "the agent does not hold it" if os.environ.get("SSH_AUTH_SOCK") else "no agent is running"
            return UsageError(
                f"{self._name()} cannot sign: {agent}, and its private key is not beside it",
                "add it with `ssh-add FILE`, plug its token in, or give another key with --key",
            )
        if "incorrect passphrase" in said and not self._prompts.allowed:
            return UsageError(
                f"{self._name()} is encrypted with a passphrase, and there is no terminal to ask for it",
                "run `ssh-add FILE` before, or in CI use a key without a passphrase from the CI's secrets",
            )
        if "incorrect passphrase" in said:
            return UsageError(f"that was not the passphrase of {self._name()}", "run the same command again")
        return UsageError(fact, _TRY)

    def _name(self) -> str:
        return f"the key {self._file or 'of the agent'} ({self.public.fingerprint})"


def agent_keys() -> tuple[AgentKey, ...]:
    """The keys of the agent that marksweep can use, in its order; raise :class:`UsageError` if there is no agent."""
    try:
        found = subprocess.run(
            ("ssh-add", "-L"),  # noqa: S607 - whichever the person's PATH has, like ssh-keygen
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_AGENT_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            "the ssh agent does not answer", "start it anew, and add the key with `ssh-add FILE`"
        ) from None
    except OSError as error:
        raise UsageError(f"ssh-add cannot be run: {error.strerror}", _INSTALL) from None
    if found.returncode not in (0, 1):
        raise UsageError(
            f"there is no ssh agent to ask: {shown(found.stderr.decode('utf-8', 'replace').strip() or 'ssh-add failed')}",
            'start one (`eval "$(ssh-agent -s)"`) and add the key (`ssh-add FILE`), or give --key FILE',
        )
    keys: list[AgentKey] = []
    for line in found.stdout.decode("utf-8", "replace").splitlines() if not found.returncode else ():
        try:
            keys.append(AgentKey(PublicKey.parse(line), line.split(" ", 2)[2] if line.count(" ") > 1 else ""))
        except ValueError:
            continue  # a certificate, or a type that no verifier accepts
    return tuple(keys)


def agent_key(wanted: str, prompts: Prompts) -> KeygenKey:
    """The agent's key with the fingerprint or the comment *wanted*, or its only key if that is empty.

    Raises :class:`UsageError`, listing what it holds, unless exactly one key fits.
    """
    held = agent_keys()
    fitting = [key for key in held if not wanted or wanted in (key.public.fingerprint, key.comment)]
    if len(fitting) != 1:
        names = "; ".join(f"{key.public.fingerprint} ({shown(key.comment)})" for key in held[:10]) or "none"
        asked = f"{len(fitting) or 'no'} keys that are {shown(wanted)!r}" if wanted else f"{len(held) or 'no'} keys"
        fact = f"the ssh agent holds {asked}, and exactly one is needed; it holds: {names}"
        raise UsageError(fact, "name one: --key agent:SHA256:…, or add yours with `ssh-add FILE`")
    return KeygenKey(fitting[0].public, None, prompts)


class _PublicFile(AbstractContextManager[str]):
    """A public key in a file of its own, which is how ``ssh-keygen`` is told which of the agent's keys to use."""

    def __init__(self, key: PublicKey) -> None:
        self._key = key

    def __enter__(self) -> str:
        self._folder = tempfile.TemporaryDirectory(prefix="marksweep-")
        path = Path(self._folder.name) / "key.pub"
        path.write_text(self._key.line + "\n", encoding="ascii")
        return str(path)

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _fed(child: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Give *chunks* to the child's input and return its output and errors; TimeoutError if it stands still."""
    stdin, stdout, stderr = child.stdin, child.stdout, child.stderr
    assert stdin is not None
    assert stdout is not None
    assert stderr is not None
    out, err = bytearray(), bytearray()
    feed = _Feed(chunks)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ, out)
        selector.register(stderr, selectors.EVENT_READ, err)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.data is not None:
                    piece = os.read(key.fd, _KEPT)
                    key.data.extend(piece[: _KEPT - len(key.data)])
                    if not piece:
                        selector.unregister(key.fileobj)
                    continue
                if not feed.more(key.fd):
                    selector.unregister(stdin)
                    stdin.close()
    return bytes(out), bytes(err)


class _Feed:
    """Bytes on their way into a pipe that takes a part of them at a time."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def more(self, descriptor: int) -> bool:
        """Write as much as *descriptor* takes now; False when all is written, or when nobody reads any more."""
        self._left = self._left or memoryview(next(self._chunks, b""))
        if not self._left:
            return False
        try:
            self._left = self._left[os.write(descriptor, self._left) :]
        except BrokenPipeError:  # why it gave up stands in its errors
            return False
        return True
