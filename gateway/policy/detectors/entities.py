"""Everything about people, companies and money that has a form of its own: a name for each, and how it is told."""

from gateway.policy.detectors.addresses import ADDRESSES, email_places
from gateway.policy.detectors.identities import IDENTITIES
from gateway.policy.detectors.payments import PAYMENTS, card_places, iban_places
from gateway.policy.detectors.phones import PHONES
from gateway.policy.detectors.shape import Shape
from gateway.policy.detectors.wallets import WALLETS

__all__ = ["ENTITIES", "card_places", "email_places", "iban_places"]

ENTITIES: dict[str, Shape] = {
    shape.name.partition(":")[2]: shape for shape in (*PAYMENTS, *ADDRESSES, *PHONES, *WALLETS, *IDENTITIES)
}
