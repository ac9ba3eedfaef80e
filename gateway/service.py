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
from gateway.outlines import load_outlines
from gateway.people.passwords import Passwords
from gateway.people.second_factor import Seal
from gateway.people.tries import Tries
from gateway.publish import Publisher
from gateway.quality import Judge
from gateway.signals import Signals
from gateway.store.interning import Interning
from gateway.store.sites import Sites
from gateway.watch import HeadsWatch
from partners.oauth.clients import Client
from partners.oauth.keys import load_signing_key
from partners.oauth.token_keys import TokenKeys
from schemas.errors import SharingError
from schemas.tables import Tables
from schemas.times import now_millis


class Gateway:
    """One party's gateway, opened from its home directory."""

    def __init__(self, home: Home) -> None:
        settings, keys = home.settings, home.keys
        self.home = home
        self.settings = settings
        self.keys = keys
        self.party = settings.party
        self.database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
        self.heads = HeadStore(settings.home / "heads.db")
        self.signals = Signals()
        self.read_only: SharingError | None = None  # why nothing may be signed or published, if so
        self.interning = Interning(self.database)
        self.sites = Sites()
        self.governed = Governed(self.database)
        self.governance = Governance(home, self.database, self.governed)
        self.door = Door(self.party, self.interning, self.sites, self.governed.at, load_outlines(settings.outlines))
        self.judge = Judge(self.party, self.database, self.interning, self.sites, self.governed.at)
        self.publisher = Publisher(self.party, self.database, self.heads, keys.manifest, self.interning, self.sites)
        self.log_signer = NoteSigner(settings.log_origin, keys.log.private)
        self.cursors = Cursors(keys.secret.derive("cursors"))
        self.devices = Devices(keys.secret.derive("devices"))
        self.passwords = Passwords()
        self.second_factors = Seal(keys.secret.derive("totp"))
        self.tries = Tries(keys.secret.derive("sign-in"))
        token_keys = TokenKeys.of(load_signing_key(keys.oauth.private))
        self.authorization = Authorization(settings, keys.secret, self.database, load_keys=lambda: token_keys)
        self.heads_watch = HeadsWatch(self.heads)
        self.sequencer = Sequencer(self.database.write, self.heads, self.log_signer, settings.log_origin)

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

    def load_client(self, client_id: str) -> Client | None:
        """The client's record as it stands now."""
        return self.authorization.load_client(client_id)

    def close(self) -> None:
        self.database.close()
        self.heads.close()
