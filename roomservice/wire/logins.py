"""How often who has no token may ask, and passwords be tried.

Rules held here
- An address may try ten passwords at once, and then one each 3 s (PER_ADDRESS, LOGIN_WEIGHT); of IPv6 its /64 may.
- Of one name, from all addresses together, PER_NAME: only wrong passwords count. One address alone can never spend it,
  and who has is refused for 2 s at most: nobody locks another out for longer than he goes on trying from many.
- Where a name has logged in before, the name's allowance is not asked: who is at home is not kept out by strangers. Nor
  is who has a refresh token.
"""

from collections import OrderedDict

from roomservice.addresses import counted
from roomservice.allowance import MAX_BUCKETS, Allowances, Rate

PER_ADDRESS = Rate(per_s=2.0, burst=60.0)
"""Operations that need no token, logins above all: passwords can be tried no faster."""

PER_NAME = Rate(per_s=0.5, burst=30.0)
"""Wrong passwords. More lets who has many addresses try more of them, less lets fewer addresses slow a user down."""

MAX_NAME = 256


class Logins:
    """name: of whom it is tried to be; empty where it is nobody. weight: what it costs the address. now: Unix time in
    s."""

    def __init__(self, most: int = MAX_BUCKETS) -> None:
        self._addresses = Allowances(PER_ADDRESS, most)
        self._names = Allowances(PER_NAME, most)
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most = most

    def wait_s(self, address: str, name: str, weight: float, now: float) -> float:
        """0 when it may be tried, else in how many seconds."""
        address = counted(address)
        wait_s = self._addresses.take(address, weight, now)
        if wait_s or not self._counts(address, name):
            return wait_s
        wait_s = self._names.take(name, 1.0, now)
        if wait_s:
            self._addresses.give_back(address, weight - 1, now)
        return wait_s

    def succeeded(self, address: str, name: str, weight: float, now: float) -> None:
        """The address has asked once, no more."""
        address = counted(address)
        self._addresses.give_back(address, weight - 1, now)
        self.not_tried(address, name, now)
        if name:
            self._at_home[address, name] = None
            self._at_home.move_to_end((address, name))
            if len(self._at_home) > self._most:
                self._at_home.popitem(last=False)

    def not_tried(self, address: str, name: str, now: float) -> None:
        """No password was wrong, for it was not looked at."""
        if self._counts(counted(address), name):
            self._names.give_back(name, 1.0, now)

    def _counts(self, address: str, name: str) -> bool:
        return 0 < len(name) <= MAX_NAME and (address, name) not in self._at_home
