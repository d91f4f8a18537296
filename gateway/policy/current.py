"""The policies in force, for those that ask about one message at a time and must follow a reload. Judges nothing."""

from gateway.model.message import Entry
from gateway.policy.engine import Found, PolicySet


class CurrentPolicies:
    """Finds what is sensitive with the set that has scanned the messages: another would scan them again."""

    def __init__(self, now: PolicySet) -> None:
        self.now = now

    def sensitive(self, entry: Entry) -> bool:
        return self.now.sensitive(entry)

    def sensitive_in(self, text: str) -> list[Found]:
        return self.now.sensitive_in(text)
