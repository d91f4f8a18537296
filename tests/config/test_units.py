import pytest

from gateway.units import host_port, seconds, size_bytes


@pytest.mark.parametrize(
    ("written", "found"),
    [("300ms", 0.3), ("45s", 45), ("1m30s", 90), ("24h", 86400), ("30d", 2592000), ("1.5s", 1.5), (0, 0), ("0", 0)],
)
def test_durations_are_seconds(written: object, found: float) -> None:
    assert seconds(written) == pytest.approx(found)


@pytest.mark.parametrize("written", ["", "5", 5, 1.5, "5 s", "s", "-5s", True, False, None, "5sx", "45S"])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write one such as"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "found"), [("64KiB", 65536), ("10MiB", 10485760), ("1GB", 10**9), ("5", 5), (5, 5), ("1.5 KiB", 1536)]
)
def test_sizes_are_bytes(written: object, found: int) -> None:
    assert size_bytes(written) == found


@pytest.mark.parametrize("written", ["", "x", -1, True, None, 1.5, "64 kib", "-1B"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is not a size; write one such as"):
        size_bytes(written)


@pytest.mark.parametrize(("written", "found"), [("127.0.0.1:4000", ("127.0.0.1", 4000)), ("[::1]:80", ("::1", 80))])
def test_an_endpoint_is_a_host_and_a_port(written: str, found: tuple[str, int]) -> None:
    assert host_port(written) == found
