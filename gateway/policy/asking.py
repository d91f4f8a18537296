"""Asks agents that do not go by texts alone: conditions, then detectors that are no shapes, then the scan if needed.

Agents do not see each other's findings. What costs little comes first: where it blocks while a client waits, the scan
for the others is moot, and they say so.
"""

from collections import Counter
from collections.abc import Callable
from time import perf_counter

from gateway.contracts import SkippedError
from gateway.model.verdict import Assessment
from gateway.policy.judging import NO_ANSWERS, NOTHING, Answers, Gap, Look, Panel, Seat, clean_after, judged, skipped
from gateway.policy.load import Agent
from gateway.policy.sight import Seen

_NOT_MEANT = "its condition does not hold"


def applies(agent: Agent, sight: Seen) -> bool:
    """Whether the agent's condition holds. Raises whatever evaluating it raises."""
    return agent.condition is None or agent.condition.holds(sight.fact)


def judged_apart(
    panel: Panel,
    sight: Seen,
    look: Callable[[], Look],
    gap: Gap | None,
    timed: bool,
    released: bool,
    counters: Counter[str],
) -> list[Assessment]:
    """One assessment an agent, in their order. `look` scans the messages, and is called once at most."""
    began = perf_counter()
    seats = panel.seats
    answers = {number: _answers(seats[number], sight, timed, counters) for number in panel.quick}
    took_ms = _since(began)
    said = {
        number: _without_a_look(seats[number], answer, gap, timed, released, took_ms)
        for number, answer in answers.items()
    }
    if timed and (blocking := next((each.agent for each in said.values() if each.outcome == "blocked"), "")):
        moot = f"{blocking} has blocked it already"
        return [said.get(number) or skipped(seat, moot) for number, seat in enumerate(seats)]
    waiting: list[tuple[int, Answers]] = []
    for number in panel.scanning:
        seat = seats[number]
        answer = _answers(seat, sight, timed, counters) if seat.asks else NO_ANSWERS
        if answer is None or answer.failed == _CONDITION:
            said[number] = _without_a_look(seat, answer, gap, timed, released, took_ms)
        else:
            waiting.append((number, answer))
    if waiting:
        looked = look()
        took_ms = _since(began)
        for number, answer in waiting:
            said[number] = judged(seats[number], looked, gap, timed, released, took_ms, answer)
    return [said[number] for number in panel.order]


def asked_without_texts(
    panel: Panel, sight: Seen, reason: str, timed: bool, released: bool, counters: Counter[str]
) -> list[Assessment]:
    """Where there is no text, those that have nothing to look with but patterns are skipped, and the others asked."""
    began = perf_counter()
    said: list[Assessment] = []
    for seat in panel.seats:
        if not seat.agent.equipment:
            said.append(skipped(seat, reason))
            continue
        answers = _answers(seat, sight, timed, counters)
        said.append(_without_a_look(seat, answers, None, timed, released, _since(began)))
    return said


_CONDITION = "its condition"


def _answers(seat: Seat, sight: Seen, timed: bool, counters: Counter[str]) -> Answers | None:
    """None where the agent is not meant."""
    agent = seat.agent
    began = perf_counter() if timed else 0.0
    if agent.condition is not None:
        try:
            if not agent.condition.holds(sight.fact):
                return None
        except Exception:  # an expression, or a fact, that breaks is this agent's failure: counted, and judged
            counters["conditions_failed"] += 1
            return Answers(failed=_CONDITION)
    if not agent.equipment:
        return NO_ANSWERS
    answers = _detected(agent, sight, counters)
    if timed and perf_counter() - began > seat.timeout_s:
        answers = answers._replace(late=True)
    return answers


def _detected(agent: Agent, sight: Seen, counters: Counter[str]) -> Answers:
    hits: list[tuple[str, str, int]] = []
    confidence: list[float] = []
    advice: dict[str, None] = {}
    failed = skipped_for = ""
    late = False
    for category, key, _, detector in agent.equipment:
        try:
            for name, count, sure, instead in detector.findings(sight):
                hits.append((category, str(name), int(count)))
                confidence.append(min(1.0, max(0.0, float(sure))))
                advice.update({instead: None} if instead else {})
        except SkippedError as reason:
            counters["detectors_skipped"] += 1
            skipped_for = f"{key}: {reason}"
        except TimeoutError:
            counters["detectors_late"] += 1
            late = True
        except Exception:  # one broken detector must not silence the others: counted, and judged
            counters["detector_failures"] += 1
            failed = key
    if not (hits or failed or skipped_for or late):
        return NO_ANSWERS
    return Answers(tuple(hits), failed, late, skipped_for, max(confidence, default=1.0), " ".join(advice))


def _without_a_look(
    seat: Seat, answers: Answers | None, gap: Gap | None, timed: bool, released: bool, took_ms: float
) -> Assessment:
    if answers is NO_ANSWERS and gap is None:
        return clean_after(seat, took_ms)
    if answers is None:
        return _not_meant(seat)
    return judged(seat, NOTHING, gap, timed, released, took_ms, answers)


def _not_meant(seat: Seat) -> Assessment:
    made = seat.cleans.get(-1.0)
    if made is None:
        made = seat.cleans[-1.0] = skipped(seat, _NOT_MEANT)
    return made


def _since(began: float) -> float:
    """Milliseconds, to a hundredth."""
    return int((perf_counter() - began) * 100_000) / 100
