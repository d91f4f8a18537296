"""An exchange whose request leaves with a signature over its head and whole body, or not at all."""

from gateway.model.exchange import Refusal
from gateway.proxy.handler import Sign
from gateway.proxy.refusals import unsignable
from gateway.proxy.relay import Relay


class SignedRelay(Relay):
    """A relay for plans with a signer; the others pay nothing for it."""

    __slots__ = ()

    def _decided(self) -> None:
        exchange, sign = self.exchange, self._plan.sign
        if self.done or exchange.refusal is not None or sign is None:
            super()._decided()
        elif exchange.request_body.truncated:
            self.refuse(unsignable(self._limits.capture))
        else:
            self._start(self._signed(sign))

    async def _signed(self, sign: Sign) -> None:
        plan = self._plan
        signed = await sign(self.head.method, plan.target, plan.forward, self._held_body())
        self._task = None
        if self.done:
            return
        if isinstance(signed, Refusal):
            self.refuse(signed)
            return
        plan.forward = signed
        super()._decided()
