"""A running gateway: its database, keys, memories and duties, put together in one place.

`Gateway` is what requests, commands and background duties are given. It holds no state of its own that a restart
would lose: everything that must survive is in the database or in the head store.
"""

from __future__ import annotations

from joserfc.jwk import ECKey

from audit.heads import HeadStore
from audit.note import NoteSigner
from audit.sequencer import Sequencer
from gateway.cursors import Cursors
from gateway.db import Database
from gateway.governance import Governance, Governed
from gateway.home import Home
from gateway.ingest.devices import Devices
from gateway.ingest.door import Door
from gateway.ingest.tally import Tally
from gateway.keyring import KeyRing
from gateway.outlines import load_outlines
from gateway.people.passwords import Passwords
from gateway.people.second_factor import Seal
from gateway.people.tries import Tries
from gateway.publish import Publisher
from gateway.quality import Judge
from gateway.served_certificate import ServedCertificate
from gateway.signals import Signals
from gateway.store.interning import Interning
from gateway.store.sites import Sites
from gateway.sync.contacts import Calls
from gateway.watch import HeadsWatch
from partners.oauth.clients import Client
from partners.oauth.keys import load_signing_key
from partners.oauth.replay import DatabaseReplay, MemoryReplay, Replay
from partners.oauth.resource import AccessTokens
from partners.oauth.server import TokenEndpoint
from partners.oauth.store import load_client
from partners.reach import Reach
from partners.tables import assertion_seen, proof_seen
from schemas.errors import SharingError
from schemas.tables import Tables
from schemas.times import now_millis


class Gateway:
    """One party's gateway, opened from its home directory."""

    def __init__(self, home: Home) -> None:
        settings, secret = home.settings, home.keys.secret
        self.home = home
        self.settings = settings
        self.party = settings.party
        self.database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
        self.keys = KeyRing(home, self.database)
        self.certificates = ServedCertificate(settings)
        self.heads = HeadStore(settings.home / "heads.db")
        self.signals = Signals()
        self.calls = Calls(self.database)
        self.reach = Reach(settings.partners.networks)
        self.read_only: SharingError | None = None  # why nothing may be signed or published, if so
        self.interning = Interning(self.database)
        self.sites = Sites()
        self.governed = Governed(self.database)
        self.governance = Governance(home, self.database, self.governed)
        self.door = Door(self.party, self.interning, self.sites, self.governed.at, load_outlines(settings.outlines))
        self.judge = Judge(self.party, self.database, self.interning, self.sites, self.governed.at)
        self.publisher = Publisher(self.party, self.database, self.heads, self.keys, self.interning, self.sites)
        self.cursors = Cursors(secret.derive("cursors"))
        self.devices = Devices(secret.derive("devices"))
        self.passwords = Passwords()
        self.second_factors = Seal(secret.derive("totp"))
        self.tries = Tries(secret.derive("sign-in"))
        # On SQLite the gateway is one process: a memory of proofs in it keeps reads from becoming writes.
        self.proofs: Replay = (
            MemoryReplay(now_millis()) if self.database.is_sqlite else DatabaseReplay(self.database.write, proof_seen)
        )
        self.assertions: Replay = DatabaseReplay(self.database.write, assertion_seen)
        self._signer: ECKey | None = None  # the oauth key in use, as the token endpoint takes it
        self._tokens: tuple[tuple[str, ...], AccessTokens] = ((), AccessTokens(settings.url, ()))
        self.asked: set[str] = set()  # partners whose party document is to be asked for at once
        self.heads_watch = HeadsWatch(self.heads)
        self.sequencer = Sequencer(self.database.write, self.heads, self.log_signers, settings.log_origin)

    @property
    def access_tokens(self) -> AccessTokens:
        """What opens our tokens; a new one whenever keys change: what an old key signed must not outlive it."""
        now = now_millis()
        kids = tuple(key.kid for key in self.keys.oauth_keys(now))
        if self._tokens[0] != kids:
            self._tokens = (kids, AccessTokens(self.settings.url, self.keys.oauth_publics(now)))
        return self._tokens[1]

    @property
    def token_endpoint(self) -> TokenEndpoint:
        """What gives tokens, signed with the key of this moment. It has no state of its own."""
        oauth = self.keys.oauth
        if self._signer is None or self._signer.kid != oauth.kid:
            self._signer = load_signing_key(oauth.private)
        return TokenEndpoint(self.settings.url, self._signer, self.load_client, self.assertions, self.proofs)

    @property
    def log_signer(self) -> NoteSigner:
        """The log's key in use, under the name of the log's first shard."""
        return self.log_signers(self.settings.log_origin)[0]

    def log_signers(self, origin: str) -> list[NoteSigner]:
        """The log's keys in use at this moment, under the name of the shard `origin`; two while one follows another."""
        return self.keys.log_signers(origin, now_millis())

    @property
    def tables(self) -> Tables:
        """The tables that decide at this moment."""
        return self.governed.at(now_millis())

    def settle(self, provider: str, tally: Tally) -> None:
        """After the commit of what a parcel brought: forget what is out of date, and wake whom it concerns."""
        self.door.settle(provider, tally)
        self.signals.logged.send()
        if tally.queued:
            self.signals.queued.send()
        if tally.to_judge:
            self.signals.to_judge.send()
        if tally.sites:
            self.signals.arrived.send()

    def ask_document(self, party: str) -> None:
        """A partner used a key that its document does not name: perhaps there is a newer one."""
        self.asked.add(party)
        self.signals.documents.send()

    def load_client(self, client_id: str) -> Client | None:
        """The client's record as it stands now."""
        with self.database.read() as session:
            return load_client(session, client_id)

    def close(self) -> None:
        self.database.close()
        self.heads.close()
