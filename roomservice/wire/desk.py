"""Who a caller is, how often he may ask, and what he is answered: the same for HTTP and for WebSockets."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from roomservice.accounts import Accounts, Device
from roomservice.allowance import Allowances, Rate
from roomservice.operations.account import LOGIN_WEIGHT
from roomservice.operations.calling import Named, Refusal, perform
from roomservice.operations.problems import NO_SUCH_OPERATION, TOO_OFTEN, UNAUTHORISED, Refused
from roomservice.operations.table import Caller, Operation, Result, Table
from roomservice.users import valid_name
from roomservice.wire.logins import Logins

PER_USER = Rate(per_s=50.0, burst=200.0)
"""Operations, over all devices on this instance. More lets one client take more of everybody's; fewer is felt in a
lively room."""

HELLO_WEIGHT = 5.0
"""Each begins a session, ends another, and reads what was missed."""

HTTP_DEVICE = "http"


class Desk:
    """world, named: of operations/world.py. clock: Unix time in s."""

    def __init__(
        self,
        world: Any,
        table: Table,
        named: Named,
        *,
        accounts: Accounts,
        system_key: str,
        clock: Callable[[], float],
    ) -> None:
        self.table = table
        self._world = world
        self._named = named
        self._accounts = accounts
        self._system_key = system_key.encode()
        self._clock = clock
        self._users = Allowances(PER_USER)
        self._logins = Logins()

    async def authenticate(self, authorization: str, device: str) -> Caller:
        """By HTTP's headers. Refused."""
        kind, _, token = authorization.partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            raise Refused(UNAUTHORISED)
        if self._system_key and hmac.compare_digest(token.encode("utf-8", "replace"), self._system_key):
            return Caller("", "", system=True)
        found = await self.device_of(token, device or HTTP_DEVICE)
        return Caller(found.user, found.id)

    async def device_of(self, token: str, device: str) -> Device:
        """Of an access token, or of the token of `/login` and the device's name. Refused."""
        found = await self._accounts.device_of(token)
        if found is None and (user := await self._accounts.user_of_login(token)) is not None and valid_name(device):
            return Device(user, device, "")
        if found is None:
            raise Refused(UNAUTHORISED)
        return found

    async def call(
        self, operation: Operation[Any, Any, Any], caller: Caller | None, params: Mapping[str, Any], address: str
    ) -> Result | Refusal:
        """caller: None for who has no token, and is then known by his address."""
        now = self._clock()
        name = str(params.get(operation.tries, "")) if operation.tries else ""
        if caller is None:
            wait_s = self._logins.wait_s(address, name, operation.weight, now)
        elif caller.system:
            wait_s = 0.0
        else:
            wait_s = self._users.take(caller.user, operation.weight, now)
        if wait_s:
            return Refusal(TOO_OFTEN, "This is asked for too often.", retry_after_s=wait_s)
        result = await perform(self._world, operation, caller or Caller("", ""), params, self._named)
        if caller is None and not isinstance(result, Refusal):
            self._logins.succeeded(address, name, operation.weight, now)
        elif caller is None and isinstance(result, Refusal) and result.problem != UNAUTHORISED:
            self._logins.not_tried(address, name, now)
        return result

    def hello_wait_s(self, user: str) -> float:
        """0 when he may say it, else in how many seconds."""
        return self._users.take(user, HELLO_WEIGHT, self._clock())

    def wait_s(self, user: str, weight: float) -> float:
        """For what a user asks elsewhere: 0 when he may, else in how many seconds."""
        return self._users.take(user, weight, self._clock())

    def login_wait_s(self, address: str, name: str) -> float:
        """For a login elsewhere: 0 when it may be tried, else in how many seconds."""
        return self._logins.wait_s(address, name, LOGIN_WEIGHT, self._clock())

    def login_answered(self, address: str, name: str, status: int) -> None:
        """That login: HTTP's status."""
        if status == 200:
            self._logins.succeeded(address, name, LOGIN_WEIGHT, self._clock())
        elif status != 401:
            self._logins.not_tried(address, name, self._clock())

    async def method(
        self, name: str, caller: Caller | None, params: Mapping[str, Any], address: str
    ) -> Result | Refusal:
        """By the operation's name."""
        operation = self.table.get(name)
        if operation is None or operation.content:
            return Refusal(NO_SUCH_OPERATION, "There is no such operation.")
        if caller is None and not operation.open:
            return Refusal(UNAUTHORISED, "Say hello first.")
        return await self.call(operation, None if operation.open else caller, params, address)
