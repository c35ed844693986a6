//! From the list of names to live metrics.

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

use crate::telemetry::metrics::names::{Family, Kind};

/// Makes the metrics of one registry. Takes only what stands in the list of names, whose
/// validity a test shows by making them all.
pub(super) struct Register<'a>(pub(super) &'a Registry);

const VALID: &str = "names, labels and buckets of the list are valid, and each is registered once";

impl Register<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect(VALID);
        self.0.register(Box::new(metric.clone())).expect(VALID);
        metric
    }

    pub(super) fn int_counter(&self, family: &Family) -> IntCounter {
        self.add(IntCounter::with_opts(opts(family, Kind::Counter)))
    }

    pub(super) fn counter(&self, family: &Family) -> Counter {
        self.add(Counter::with_opts(opts(family, Kind::Counter)))
    }

    pub(super) fn counters(&self, family: &Family) -> IntCounterVec {
        self.add(IntCounterVec::new(opts(family, Kind::Counter), family.labels))
    }

    pub(super) fn int_gauge(&self, family: &Family) -> IntGauge {
        self.add(IntGauge::with_opts(opts(family, Kind::Gauge)))
    }

    pub(super) fn gauge(&self, family: &Family) -> Gauge {
        self.add(Gauge::with_opts(opts(family, Kind::Gauge)))
    }

    pub(super) fn int_gauges(&self, family: &Family) -> IntGaugeVec {
        self.add(IntGaugeVec::new(opts(family, Kind::Gauge), family.labels))
    }

    pub(super) fn gauges(&self, family: &Family) -> GaugeVec {
        self.add(GaugeVec::new(opts(family, Kind::Gauge), family.labels))
    }

    pub(super) fn optional(&self, family: &Family) -> OptionalGauge {
        debug_assert!(family.labels.is_empty());
        OptionalGauge(self.gauges(family))
    }

    pub(super) fn histogram(&self, family: &Family) -> Histogram {
        self.add(Histogram::with_opts(histogram_opts(family)))
    }

    pub(super) fn histograms(&self, family: &Family) -> HistogramVec {
        self.add(HistogramVec::new(histogram_opts(family), family.labels))
    }
}

fn opts(family: &Family, kind: Kind) -> Opts {
    debug_assert_eq!(family.kind, kind, "{}", family.name);
    Opts::new(family.name, family.help)
}

fn histogram_opts(family: &Family) -> HistogramOpts {
    let Kind::Histogram(buckets) = family.kind else { unreachable!("{} is no histogram", family.name) };
    HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec())
}

/// A gauge that is absent while there is nothing to measure.
#[derive(Clone, Debug)]
pub(super) struct OptionalGauge(GaugeVec);

impl OptionalGauge {
    pub(super) fn set(&self, value: Option<f64>) {
        match value {
            Some(value) => self.0.with_label_values::<&str>(&[]).set(value),
            None => self.0.reset(),
        }
    }
}
