"""How many statements this process has executed, from the product's own metric."""

from collections.abc import Callable

from app.statements import _SECONDS, CATALOG


def executed(is_counted: Callable[[str], object] = bool) -> int:
    """Those whose text satisfies the condition."""
    (metric,) = _SECONDS.collect()
    return sum(
        int(sample.value)
        for sample in metric.samples
        if sample.name.endswith("_count") and is_counted(CATALOG[sample.labels["statement"]][0])
    )
