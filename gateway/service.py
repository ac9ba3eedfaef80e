"""A running gateway: its database, keys, memories and duties, put together in one place.

`Gateway` is what requests, commands and background duties are given. It holds no state of its own that a restart
would lose: everything that must survive is in the database or in the head store.
"""

from __future__ import annotations

from audit.heads import HeadStore
from audit.note import NoteSigner
from audit.sequencer import Sequencer
from gateway.authorization import Authorization
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
from partners.oauth.token_keys import TokenKeys
from partners.reach import Reach
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
        self._token_keys: tuple[tuple[str, ...], TokenKeys | None] = ((), None)  # of which kids, and the keys
        self.authorization = Authorization(settings, secret, self.database, load_keys=self.token_keys)
        self.asked: set[str] = set()  # partners whose party document is to be asked for at once
        self.heads_watch = HeadsWatch(self.heads)
        self.sequencer = Sequencer(self.database.write, self.heads, self.log_signers, settings.log_origin)

    def token_keys(self) -> TokenKeys:
        """The keys of our tokens at this moment; the same object as long as they are the same keys."""
        published = self.keys.oauth_keys(now_millis())
        kids = tuple(key.kid for key in published)
        known, keys = self._token_keys
        if keys is None or known != kids:
            keys = TokenKeys.of(load_signing_key(self.keys.oauth.private), *self.keys.oauth_publics(now_millis())[1:])
            self._token_keys = (kids, keys)
        return keys

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
        return self.authorization.load_client(client_id)

    def close(self) -> None:
        self.database.close()
        self.heads.close()
