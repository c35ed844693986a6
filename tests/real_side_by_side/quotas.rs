//! Figures that the others tell of themselves, one scene after the other, and the limits that the
//! proxy is told then.
//!
//! In each scene a collection with a number of its own is on nodes that are well, so that rates
//! are known to be those of the scene. The second time that they come, everybody was asked in it.

use serde_json::{Value, json};

use crate::{
    peers::{Figures, Heard},
    side::Side,
    transcript::Section,
};

/// Limits that figures reach; the same ones for both sides.
pub(crate) const LIMITS: [(&str, &str); 22] = [
    ("quotaAndLimits.enabled", "true"),
    ("quotaAndLimits.quotaCenterCollectInterval", "1"),
    ("quotaAndLimits.dml.enabled", "true"),
    // That of each collection, too.
    ("quotaAndLimits.dml.insertRate.max", "8"),
    ("quotaAndLimits.dml.upsertRate.collection.max", "4"),
    ("quotaAndLimits.dml.deleteRate.collection.max", "2"),
    ("quotaAndLimits.dml.deleteRate.collection.min", "1"),
    ("quotaAndLimits.dql.enabled", "true"),
    ("quotaAndLimits.dql.searchRate.max", "1000"),
    ("quotaAndLimits.dql.searchRate.collection.max", "100"),
    ("quotaAndLimits.dql.queryRate.collection.max", "50"),
    ("quotaAndLimits.dql.queryRate.collection.min", "20"),
    ("quotaAndLimits.limitWriting.ttProtection.enabled", "true"),
    ("quotaAndLimits.limitWriting.growingSegmentsSizeProtection.enabled", "true"),
    ("quotaAndLimits.limitWriting.diskProtection.diskQuota", "1000"),
    ("quotaAndLimits.limitWriting.diskProtection.diskQuotaPerCollection", "100"),
    ("quotaAndLimits.limitReading.queueProtection.enabled", "true"),
    ("quotaAndLimits.limitReading.queueProtection.nqInQueueThreshold", "100"),
    ("quotaAndLimits.limitReading.queueProtection.queueLatencyThreshold", "2"),
    ("quotaAndLimits.limitReading.resultProtection.enabled", "true"),
    ("quotaAndLimits.limitReading.resultProtection.maxReadResultRate", "10"),
    ("quotaAndLimits.limitReading.coolOffSpeed", "0.8"),
];

/// What a collection says of itself, in part nonsense.
pub(crate) const OWN: [(&str, &str); 9] = [
    ("collection.insertRate.max.mb", "2"),
    ("collection.insertRate.min.mb", "1.5"),
    ("collection.upsertRate.max.mb", "-1"),
    ("collection.deleteRate.max.mb", "much"),
    ("collection.bulkLoadRate.max.mb", "3"),
    ("collection.searchRate.max.vps", "70.5"),
    ("collection.queryRate.max.qps", "30"),
    ("collection.queryRate.min.qps", "25"),
    ("collection.diskProtection.diskQuota.mb", "50"),
];

const MB: u64 = 1024 * 1024;

/// A cluster in trouble, or not.
struct Scene {
    name: &'static str,
    data_nodes: Vec<Value>,
    query_nodes: Vec<Value>,
    disk: Value,
    proxy: Value,
}

impl Scene {
    fn new(name: &'static str) -> Self {
        let disk = json!({"TotalBinlogSize": 0, "CollectionBinlogSize": {}});
        Self { name, data_nodes: vec![], query_nodes: vec![], disk, proxy: json!([]) }
    }

    /// That node, with these collections.
    fn data_node(mut self, collections: &[i64], memory: u64, flow: Value) -> Self {
        let id = 1000 + self.data_nodes.len();
        self.data_nodes.push(json!({"id": id, "quota_metrics": {
            "Hms": {"memory": 1000, "memory_usage": memory}, "Rms": null, "Fgm": flow,
            "Effect": {"NodeID": id, "CollectionIDs": collections},
        }}));
        self
    }

    fn query_node(mut self, collections: &[i64], memory: u64, others: Value) -> Self {
        let id = 2000 + self.query_nodes.len();
        let mut quota = json!({
            "Hms": {"memory": 1000, "memory_usage": memory}, "Rms": null, "Fgm": idle(),
            "SearchQueue": queue(0, 0), "QueryQueue": queue(0, 0), "GrowingSegmentsSize": 0,
            "Effect": {"NodeID": id, "CollectionIDs": collections},
        });
        for (key, value) in others.as_object().into_iter().flatten() {
            quota[key] = value.clone();
        }
        self.query_nodes.push(json!({"id": id, "quota_metrics": quota}));
        self
    }

    fn disk(self, total: u64, collections: Value) -> Self {
        Self { disk: json!({"TotalBinlogSize": total, "CollectionBinlogSize": collections}), ..self }
    }

    fn proxy(self, searches: f64, queries: f64, results: f64) -> Self {
        let rate = |label: &str, rate: f64| json!({"Label": label, "Rate": rate});
        let proxy = json!([
            rate("DQLSearch", searches),
            rate("DQLQuery", queries),
            rate("DMLInsert", 5.0),
            rate("ReadResultThroughput", results),
        ]);
        Self { proxy, ..self }
    }

    fn figures(self) -> Figures {
        Figures {
            data_coord: json!({"cluster": {
                "self": {"id": 101, "quota_metrics": self.disk},
                "connected_data_nodes": self.data_nodes, "connected_index_nodes": [],
            }}),
            query_coord: json!({"cluster": {"self": {"id": 102}, "connected_nodes": self.query_nodes}}),
            proxy: json!({"id": 103, "quota_metrics": {"Hms": {}, "Rms": self.proxy}}),
        }
    }
}

fn idle() -> Value {
    json!({"MinFlowGraphChannel": "", "MinFlowGraphTt": 0, "NumFlowGraph": 0})
}

fn queue(length: u64, nanos: u64) -> Value {
    json!({"UnsolvedQueue": length, "ReadyQueue": 0, "ReceiveChan": 0, "ExecuteChan": 0,
        "AvgQueueDuration": nanos})
}

fn scenes(own: i64) -> Vec<Scene> {
    let searches = |length, nanos| json!({"SearchQueue": queue(length, nanos)});
    let long_ago = json!({"MinFlowGraphChannel": "c", "MinFlowGraphTt": 1, "NumFlowGraph": 1});
    vec![
        Scene::new("all is well"),
        Scene::new("memory")
            .data_node(&[1], 850, idle())
            .data_node(&[2], 900, idle())
            .data_node(&[3], 950, idle())
            .data_node(&[4, 5, 6], 10, idle())
            .query_node(&[4], 875, json!({}))
            .query_node(&[5], 990, json!({}))
            .query_node(&[6], 850, json!({})),
        Scene::new("growing segments")
            .data_node(&[1, 2, 3], 10, idle())
            .query_node(&[1], 10, json!({"GrowingSegmentsSize": 200}))
            .query_node(&[2], 10, json!({"GrowingSegmentsSize": 250}))
            .query_node(&[3], 10, json!({"GrowingSegmentsSize": 900})),
        Scene::new("delay").data_node(&[1, 2], 10, long_ago).query_node(&[2, 3], 990, json!({})).data_node(
            &[3],
            10,
            idle(),
        ),
        Scene::new("data of collections")
            .data_node(&[1, 2], 10, idle())
            .disk(999 * MB, json!({"1": 100 * MB - 1, "2": 100 * MB, "3": 200 * MB})),
        Scene::new("data in all")
            .data_node(&[1], 10, idle())
            .query_node(&[1, 2], 10, json!({}))
            .disk(1000 * MB, json!({"3": 1})),
        Scene::new("queues")
            .query_node(&[1], 10, searches(99, 1_999_999_999))
            .query_node(&[2], 10, searches(100, 0))
            .query_node(&[3], 10, json!({"QueryQueue": queue(500, 2_000_000_000)}))
            .query_node(&[4], 10, json!({"QueryQueue": queue(500, 0)}))
            .proxy(60.0, 10.0, 0.0),
        Scene::new("results").query_node(&[1], 10, json!({})).proxy(60.0, 40.0, 1e7 + 5e5),
        Scene::new("limits of its own").data_node(&[own], 925, idle()).query_node(&[own], 10, json!({})),
        Scene::new("limits of its own, slowed down")
            .query_node(&[own], 10, searches(100, 0))
            .proxy(50.0, 10.0, 0.0),
        Scene::new("data of its own")
            .data_node(&[own], 10, idle())
            .disk(99 * MB, json!({own.to_string(): 50 * MB})),
        Scene::new("data of its own, less")
            .data_node(&[own], 10, idle())
            .disk(99 * MB, json!({own.to_string(): 50 * MB - 1})),
    ]
}

/// Plays all of it: what the proxy is told in each.
pub(crate) async fn play(side: &Side) -> Vec<Section> {
    let own = side.peers.collection("second").id;
    let mut told = Vec::new();
    for (number, scene) in (9001..).zip(scenes(own)) {
        let name = scene.name;
        let scene = scene.data_node(&[number], 10, idle()).query_node(&[number], 10, json!({}));
        side.peers.figures(scene.figures());
        told.push(second(side, name, |heard| is_of(heard, number)).await);
    }
    // Otherwise it is not there any more, and says nothing of itself.
    let least = (format!("rates[{own}].rates[DMLInsert].r"), (3 * MB / 2).to_string());
    assert!(told.iter().any(|section| section.fields.contains(&least)), "{own} has no limits of its own");
    for (name, key, state) in [
        ("nobody may write", "limitWriting", "DenyToWrite"),
        ("nobody may read", "limitReading", "DenyToRead"),
    ] {
        let scene = Scene::new(name).data_node(&[1], 10, idle()).query_node(&[1], 10, json!({}));
        side.peers.figures(scene.figures());
        let key = format!("quotaAndLimits/{key}/forceDeny");
        side.set_live(&key, Some("true")).await;
        let is_it = |heard: &Heard| heard.fields().iter().any(|(_, value)| value == state);
        told.push(second(side, name, is_it).await);
        side.set_live(&key, None).await;
        second(side, "all may again", |heard| is_set_rates(heard) && !is_it(heard)).await;
    }
    told
}

fn is_set_rates(heard: &Heard) -> bool {
    heard.method == "SetRates"
}

fn is_of(heard: &Heard, number: i64) -> bool {
    let path = format!("rates[{number}].rates[DQLQuery].r");
    is_set_rates(heard) && heard.fields().iter().any(|(field, _)| *field == path)
}

async fn second(side: &Side, name: &str, is_it: impl Fn(&Heard) -> bool) -> Section {
    let mut section = Section::default();
    for _ in 0..2 {
        let heard =
            side.next(&format!("the rates: {name}"), |heard| is_set_rates(heard) && is_it(heard)).await;
        section = Section::new(format!("{}: {name}", heard.name()), heard.fields());
    }
    section
}
