"""The metrics for Prometheus: requests, predictions, drift. Each service has its own registry; tests make many."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.card import Card
from serving.drift import Drift
from serving.model import Prediction

SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)
TENTHS = tuple(n / 10 for n in range(1, 11))


class Metrics:
    """The counters, and two functions that are called at each scrape: ``drift``, and ``dropped`` log lines."""

    def __init__(
        self, card: Card, about: dict[str, str], drift: Callable[[], list[Drift]], dropped: Callable[[], int]
    ) -> None:
        self._registry = CollectorRegistry()
        for process in (ProcessCollector, PlatformCollector, GCCollector):
            process(registry=self._registry)
        Info("model", "Which model answers, of which release.", registry=self._registry).info(about)
        self._requests = Counter("model_requests", "Requests answered.", ("route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "model_request_seconds", "From the request's head to its whole answer.", ("route",),
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._predictions = Counter("model_predictions", "Predictions made.", ("source",), registry=self._registry)
        if card.task == "regression":
            help_, name, buckets = "The numbers that were answered.", "model_value", tenths_of(card)
        else:
            help_, name, buckets = "The probabilities that were answered.", "model_probability", TENTHS
        self._value = Histogram(name, help_, buckets=buckets, registry=self._registry)
        self._classes = []
        if card.classes:
            counter = Counter("model_classes", "The classes answered.", ("name",), registry=self._registry)
            self._classes = [counter.labels(name) for name in card.classes]
        self._registry.register(_Asked(drift, dropped))
        # Looking up a child by its labels takes longer than incrementing it.
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._sources: dict[str, Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered. ``route`` is one of a few names."""
        child = self._children.get((route, status))
        if child is None:
            child = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._children[route, status] = child
        child[0].inc()
        child[1].observe(seconds)

    def predicted(self, source: str, prediction: Prediction) -> None:
        """Count a prediction."""
        if source not in self._sources:
            self._sources[source] = self._predictions.labels(source)
        self._sources[source].inc()
        self._value.observe(prediction.value)
        if prediction.shares:
            self._classes[prediction.best].inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def tenths_of(card: Card) -> tuple[float, ...]:
    """Ten bounds in even steps over the numbers that a regression answered for its training data."""
    low, high = card.calibration[0].at, card.calibration[-1].at
    return tuple(float(f"{low + (high - low) * n / 10:.6g}") for n in range(1, 11))


class _Asked(Collector):
    def __init__(self, drift: Callable[[], list[Drift]], dropped: Callable[[], int]) -> None:
        self._drift = drift
        self._dropped = dropped

    def describe(self) -> list[Metric]:
        """An empty list, so that the registration does not compute the drift."""
        return []

    def collect(self) -> Iterator[Metric]:
        psi = _gauge("psi", "Population-stability index of the last predictions against the training data.")
        missing = _gauge("missing_ratio", "Share of the last predictions' records without this feature.")
        then = _gauge("missing_training_ratio", "Share of the training data without this feature.")
        for feature in self._drift():
            then.add_metric([feature.name], feature.missing_then)
            if feature.psi is not None:
                psi.add_metric([feature.name], feature.psi)
            if feature.missing is not None:
                missing.add_metric([feature.name], feature.missing)
        yield from (psi, missing, then)
        yield CounterMetricFamily(
            "model_log_lines_dropped", "Lines of the prediction log that nobody took.", value=self._dropped()
        )


def _gauge(name: str, says: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"model_feature_{name}", says, labels=["feature"])
