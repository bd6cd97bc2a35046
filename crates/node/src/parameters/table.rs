//! The parameters as the services see them. No ROS entities in here.
//!
//! What a client may see and what it is told follow rclcpp (`node_parameters.cpp`,
//! `parameter_service.cpp`): one name that does not exist leaves the whole answer empty.

use r2r::indexmap::IndexMap;
use r2r::rcl_interfaces::msg::{
    ListParametersResult, Parameter as ParameterMessage, ParameterDescriptor,
    ParameterValue as ValueMessage, SetParametersResult,
};
use r2r::{Parameter, ParameterValue, RosParams};

use super::params::{Effect, Params, Rule, kind};
use crate::announce::ros_string;

/// As many names as one request may have; there are far fewer parameters.
pub(super) const MOST_NAMES: usize = 256;
/// What a list has between the parts of a name.
const SEPARATOR: char = '.';

/// Every parameter with its value, twice: as ROS sees it, and typed.
pub(super) struct Table {
    values: IndexMap<String, Parameter>,
    params: Params,
    /// How often the channel was to be asked when the node was started; 0 = not.
    interval_at_start: u32,
}

impl Table {
    /// The defaults, and over them what was `given` at start.
    ///
    /// # Errors
    /// For people: which one is misspelt, of another type, or out of range.
    pub(super) fn new(given: &IndexMap<String, Parameter>) -> Result<Self, String> {
        let mut params = Params::default();
        let mut values = IndexMap::new();
        let registered = params.register_parameters("", None, &mut values);
        registered.map_err(|error| error.to_string())?;
        values.sort_unstable_keys();
        let mut table = Self {
            values,
            params,
            interval_at_start: 0,
        };
        for (name, parameter) in given {
            // rclcpp declares these only where a node's author asked for it.
            if !name.starts_with("qos_overrides.") {
                let params = table.with(&table.params, name, &parameter.value)?;
                table.commit(params, &[name]);
            }
        }
        table.interval_at_start = table.params.update_interval_s;
        Ok(table)
    }

    pub(super) const fn params(&self) -> &Params {
        &self.params
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    pub(super) fn get(&self, names: &[String]) -> Vec<ValueMessage> {
        self.each(names, |_, parameter| value_message(&parameter.value))
    }

    pub(super) fn types(&self, names: &[String]) -> Vec<u8> {
        self.each(names, |_, parameter| kind(&parameter.value))
    }

    pub(super) fn describe(&self, names: &[String]) -> Vec<ParameterDescriptor> {
        self.each(names, |name, parameter| {
            let rule = Rule::of(name);
            ParameterDescriptor {
                name: name.to_owned(),
                type_: kind(&parameter.value),
                description: parameter.description.to_owned(),
                additional_constraints: rule.constraints.to_owned(),
                read_only: rule.effect == Effect::AtStart,
                integer_range: rule.integer_range(),
                ..ParameterDescriptor::default()
            }
        })
    }

    /// All or nothing, as rclcpp answers.
    fn each<T>(&self, names: &[String], of: impl Fn(&str, &Parameter) -> T) -> Vec<T> {
        if names.len() > MOST_NAMES {
            return Vec::new();
        }
        let one = |name: &String| self.values.get(name).map(|parameter| of(name, parameter));
        names
            .iter()
            .map(one)
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    /// `depth` counts the parts of a name after the prefix; 0 is any.
    pub(super) fn list(&self, prefixes: &[String], depth: u64) -> ListParametersResult {
        let shallow = |name: &str| depth == 0 || (name.matches(SEPARATOR).count() as u64) < depth;
        let below = |name: &str, prefix: &String| {
            let rest = name.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.strip_prefix(SEPARATOR).is_some_and(shallow)
            })
        };
        let asked = |name: &&String| match prefixes {
            [] => shallow(name),
            many if many.len() > MOST_NAMES => false,
            many => many.iter().any(|prefix| below(name, prefix)),
        };
        let names: Vec<String> = self.values.keys().filter(asked).cloned().collect();
        let mut prefixes: Vec<String> = Vec::new();
        for (parent, _) in names.iter().filter_map(|name| name.rsplit_once(SEPARATOR)) {
            if !prefixes.iter().any(|known| known == parent) {
                prefixes.push(parent.to_owned());
            }
        }
        ListParametersResult { names, prefixes }
    }

    /// Each by itself.
    pub(super) fn set(
        &mut self,
        wanted: &[ParameterMessage],
    ) -> (Vec<SetParametersResult>, Vec<String>) {
        let mut changes = Vec::new();
        if wanted.len() > MOST_NAMES {
            return (vec![too_many(wanted.len())], changes);
        }
        let one = |parameter: &ParameterMessage| {
            let (result, changed) = self.set_atomically(std::slice::from_ref(parameter));
            changes.extend(changed);
            result
        };
        (wanted.iter().map(one).collect(), changes)
    }

    /// All of them, or none.
    pub(super) fn set_atomically(
        &mut self,
        wanted: &[ParameterMessage],
    ) -> (SetParametersResult, Vec<String>) {
        if wanted.len() > MOST_NAMES {
            return (too_many(wanted.len()), Vec::new());
        }
        let mut params = self.params.clone();
        for parameter in wanted {
            match self.admit(&params, parameter) {
                Ok(changed) => params = changed,
                Err(reason) => return (refused(reason), Vec::new()),
            }
        }
        let names: Vec<&String> = wanted.iter().map(|parameter| &parameter.name).collect();
        let changes = self.commit(params, &names);
        let later = names
            .iter()
            .any(|name| Rule::of(name).effect == Effect::OnReload);
        let reason = if later {
            "takes effect with ~/reload"
        } else {
            ""
        };
        let result = SetParametersResult {
            successful: true,
            reason: reason.to_owned(),
        };
        (result, changes)
    }

    /// What `params` would be with one more set by a client.
    fn admit(&self, params: &Params, wanted: &ParameterMessage) -> Result<Params, String> {
        let name = wanted.name.as_str();
        let changed = self.with(params, name, &value(&wanted.value))?;
        if Rule::of(name).effect == Effect::AtStart {
            return Err(format!(
                "parameter `{name}` is read-only: it is read once, at start; hint: start the node \
                 again with the new value"
            ));
        }
        changed.refuse_wrong(name)?;
        self.refuse_later_news(&changed)?;
        Ok(changed)
    }

    /// Whoever is on the graph must not keep the robot from what is called back.
    fn refuse_later_news(&self, changed: &Params) -> Result<(), String> {
        let (most, wanted) = (self.interval_at_start, changed.update_interval_s);
        if most == 0 || (1..=most).contains(&wanted) {
            return Ok(());
        }
        Err(format!(
            "parameter `update_interval_s` is {wanted}; hint: 5 to {most}, since the node was started \
             with {most}: what is called back must not come later"
        ))
    }

    /// What `params` would be with one more.
    fn with(&self, params: &Params, name: &str, value: &ParameterValue) -> Result<Params, String> {
        let Some(present) = self.values.get(name) else {
            return Err(format!(
                "there is no parameter {}; hint: there are {}",
                shown(name),
                self.names().join(", ")
            ));
        };
        if kind(value) != kind(&present.value) {
            let quotes = match present.value {
                ParameterValue::String(_) => {
                    "; hint: text that looks like a number wants quotes, as in -p revision:=\"'123…'\""
                }
                _ => "",
            };
            return Err(format!(
                "parameter `{name}` is of type {}, not {}{quotes}",
                present.value.type_name(),
                value.type_name()
            ));
        }
        let admitted = Rule::of(name).admits(value);
        admitted.map_err(|why| format!("parameter `{name}` {why}"))?;
        let mut changed = params.clone();
        let set = changed.set_parameter(name, value);
        set.map_err(|error| ros_string(&error.to_string()))?;
        Ok(changed)
    }

    /// Makes `params` the current ones; those of `names` that changed are returned.
    fn commit(&mut self, mut params: Params, names: &[&String]) -> Vec<String> {
        let mut changes = Vec::new();
        for &name in names {
            if let (Ok(value), Some(kept)) = (params.get_parameter(name), self.values.get_mut(name))
                && kept.value != value
            {
                kept.value = value;
                changes.push(name.clone());
            }
        }
        self.params = params;
        changes
    }

    /// The parameters of these names, for an event.
    pub(super) fn messages(&self, names: &[String]) -> Vec<ParameterMessage> {
        let values = self.get(names).into_iter();
        let pairs = names.iter().cloned().zip(values);
        pairs
            .map(|(name, value)| ParameterMessage { name, value })
            .collect()
    }
}

fn refused(reason: String) -> SetParametersResult {
    SetParametersResult {
        successful: false,
        reason: ros_string(&reason),
    }
}

fn too_many(count: usize) -> SetParametersResult {
    refused(format!(
        "{count} parameters at once; hint: at most {MOST_NAMES}"
    ))
}

/// A name from outside, so that neither a terminal nor a log suffers.
fn shown(name: &str) -> String {
    let mut shown: String = ros_string(name).chars().take(64).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// What a client sent. Of types that no parameter has, only the name is of interest.
fn value(message: &ValueMessage) -> ParameterValue {
    match message.type_ {
        kind::BOOL => ParameterValue::Bool(message.bool_value),
        kind::INTEGER => ParameterValue::Integer(message.integer_value),
        kind::DOUBLE => ParameterValue::Double(message.double_value),
        kind::STRING => ParameterValue::String(message.string_value.clone()),
        kind::BYTES => ParameterValue::ByteArray(Vec::new()),
        kind::BOOLS => ParameterValue::BoolArray(Vec::new()),
        kind::INTEGERS => ParameterValue::IntegerArray(Vec::new()),
        kind::DOUBLES => ParameterValue::DoubleArray(Vec::new()),
        kind::STRINGS => ParameterValue::StringArray(Vec::new()),
        _ => ParameterValue::NotSet,
    }
}

fn value_message(value: &ParameterValue) -> ValueMessage {
    let mut message = ValueMessage {
        type_: kind(value),
        ..ValueMessage::default()
    };
    match value {
        ParameterValue::Bool(flag) => message.bool_value = *flag,
        ParameterValue::Integer(number) => message.integer_value = *number,
        ParameterValue::String(text) => message.string_value = ros_string(text),
        _ => {}
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        given(&[("trust", text("/trust.toml")), ("policy", text("/policy"))]).unwrap()
    }

    fn given(pairs: &[(&str, ParameterValue)]) -> Result<Table, String> {
        let one = |(name, value): &(&str, ParameterValue)| {
            ((*name).to_owned(), Parameter::new(value.clone()))
        };
        Table::new(&pairs.iter().map(one).collect())
    }

    fn text(text: &str) -> ParameterValue {
        ParameterValue::String(text.to_owned())
    }

    fn wanted(name: &str, value: &ParameterValue) -> ParameterMessage {
        ParameterMessage {
            name: name.to_owned(),
            value: value_message(value),
        }
    }

    fn set(table: &mut Table, name: &str, value: &ParameterValue) -> Result<String, String> {
        let (result, changes) = table.set_atomically(&[wanted(name, value)]);
        assert!(result.successful || changes.is_empty());
        match result.successful {
            true => Ok(result.reason),
            false => Err(result.reason),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nobody_makes_what_is_called_back_come_later() {
        let integer = ParameterValue::Integer;
        let mut given = IndexMap::new();
        let name = "update_interval_s".to_owned();
        given.insert(name, Parameter::new(integer(60)));
        let mut table = Table::new(&given).unwrap();
        for later in [0, 61, 86_400] {
            let reason = set(&mut table, "update_interval_s", &integer(later)).unwrap_err();
            assert!(reason.contains("hint: 5 to 60"), "{reason}");
        }
        set(&mut table, "update_interval_s", &integer(5)).unwrap();
        set(&mut table, "update_interval_s", &integer(60)).unwrap();
    }

    #[test]
    fn what_can_be_set_is_set_and_says_when_it_takes_effect() {
        let integer = ParameterValue::Integer;
        let cases = [
            ("lease_ms", integer(200), ""),
            ("lease_ms", integer(5000), ""),
            ("update_interval_s", integer(0), ""),
            ("update_interval_s", integer(5), ""),
            ("use_sim_time", ParameterValue::Bool(true), ""),
            ("policy", text("./other"), "takes effect with ~/reload"),
            (
                "fragment_size_kib",
                integer(64),
                "takes effect with ~/reload",
            ),
            ("latch_limit_mib", integer(0), "takes effect with ~/reload"),
        ];
        for (name, value, expected) in cases {
            let mut table = table();
            assert_eq!(
                set(&mut table, name, &value),
                Ok(expected.to_owned()),
                "{name}"
            );
            assert_eq!(table.get(&names(&[name])), [value_message(&value)]);
        }
        let mut table = table();
        set(&mut table, "lease_ms", &integer(900)).unwrap();
        assert_eq!(table.params().lease().as_millis(), 900);
    }

    #[test]
    fn every_refusal_gives_its_reason_and_changes_nothing() {
        let (integer, long) = (ParameterValue::Integer, text(&"x".repeat(1 << 20)));
        let cases = [
            ("trust", text("/mine.toml"), "`trust` is read-only"),
            ("store", text("/s"), "`store` is read-only"),
            ("state", text("/s"), "`state` is read-only"),
            ("repo", text(""), "`repo` is read-only"),
            ("revision", text(""), "`revision` is read-only"),
            ("channel", text("acme/walk@main"), "`channel` is read-only"),
            ("hold", text("sealed"), "`hold` is read-only"),
            ("hold_signal", integer(44), "`hold_signal` is read-only"),
            ("handoff", text("/run/x"), "`handoff` is read-only"),
            ("handoff_uids", text("0"), "`handoff_uids` is read-only"),
            (
                "autostart",
                ParameterValue::Bool(false),
                "`autostart` is read-only",
            ),
            ("policy", text("acme/walk@main"), "revision-not-pinned"),
            ("policy", text(""), "give OWNER/NAME@COMMIT"),
            ("policy", integer(5), "is of type string, not integer"),
            (
                "policy",
                ParameterValue::NotSet,
                "is of type string, not not set",
            ),
            (
                "policy",
                long,
                "has 1048576 bytes of text; hint: at most 4096",
            ),
            ("lease_ms", integer(199), "is 199; hint: 200 to 5000"),
            ("lease_ms", integer(i64::MIN), "hint: 200 to 5000"),
            (
                "lease_ms",
                ParameterValue::Double(500.0),
                "is of type integer, not double",
            ),
            (
                "update_interval_s",
                integer(4),
                "give 0 for never, or at least 5",
            ),
            ("update_interval_s", integer(86_401), "hint: 0 to 86400"),
            (
                "fragment_size_kib",
                integer(100),
                "hint: 64 to 8192 in steps of 64",
            ),
            ("fragment_size_kib", integer(192), "give a power of two"),
            ("fragment_size_kib", integer(i64::MAX), "hint: 64 to 8192"),
            ("latch_limit_mib", integer(-1), "hint: 0 to 65536"),
            (
                "use_sim_time",
                text("true"),
                "is of type boolean, not string",
            ),
            (
                "revison",
                text("x"),
                "there is no parameter \"revison\"; hint: there are",
            ),
            ("\0\x1b[2J", text("x"), "there is no parameter"),
            ("", text("x"), "there is no parameter \"\""),
        ];
        for (name, value, expected) in cases {
            let mut table = table();
            let before = table.get(&table.names());
            let reason = set(&mut table, name, &value).unwrap_err();
            assert!(reason.contains(expected), "{name}: {reason}");
            assert!(!reason.contains(['\0', '\x1b']) && reason.len() < 1024);
            assert_eq!(table.get(&table.names()), before, "{name}");
        }
    }

    #[test]
    fn atomically_is_all_or_nothing_and_the_other_is_one_by_one() {
        let good = wanted("lease_ms", &ParameterValue::Integer(900));
        let bad = wanted("revision", &text(""));
        let both = [good, bad];
        let mut table = table();
        let (result, changes) = table.set_atomically(&both);
        assert!(!result.successful && changes.is_empty());
        assert_eq!(table.params().lease_ms, 500);
        let (results, changes) = table.set(&both);
        let successful: Vec<bool> = results.iter().map(|result| result.successful).collect();
        assert_eq!(successful, [true, false]);
        assert_eq!(changes, ["lease_ms"]);
        assert_eq!(table.params().lease_ms, 900);
        assert!(table.set(&both).1.is_empty(), "it has that value already");
    }

    #[test]
    fn a_hundred_thousand_names_are_too_many() {
        let mut table = table();
        let one = wanted("lease_ms", &ParameterValue::Integer(900));
        let many = vec![one; 100_000];
        let (results, changes) = table.set(&many);
        assert!(results.len() == 1 && !results[0].successful && changes.is_empty());
        assert!(results[0].reason.contains("100000 parameters at once"));
        assert!(!table.set_atomically(&many).0.successful);
        let many = vec!["lease_ms".to_owned(); 100_000];
        assert!(table.get(&many).is_empty() && table.types(&many).is_empty());
        assert!(table.describe(&many).is_empty());
        assert!(table.list(&many, 0).names.is_empty());
        assert_eq!(table.params().lease_ms, 500);
    }

    #[test]
    fn a_name_that_does_not_exist_leaves_the_answer_empty() {
        let asked = names(&["policy", "nothing"]);
        let table = table();
        assert!(table.get(&asked).is_empty());
        assert!(table.types(&asked).is_empty());
        assert!(table.describe(&asked).is_empty());
        assert_eq!(
            table.types(&names(&["policy", "lease_ms", "autostart"])),
            [4, 2, 1]
        );
    }

    #[test]
    fn every_parameter_is_described() {
        let table = table();
        let described = table.describe(&table.names());
        assert_eq!(described.len(), 17);
        for descriptor in &described {
            assert!(!descriptor.description.is_empty(), "{}", descriptor.name);
            let settable = [
                "policy",
                "update_interval_s",
                "fragment_size_kib",
                "latch_limit_mib",
                "lease_ms",
                "use_sim_time",
            ];
            let read_only = !settable.contains(&descriptor.name.as_str());
            assert_eq!(descriptor.read_only, read_only, "{}", descriptor.name);
            let integer = descriptor.type_ == 2;
            assert_eq!(descriptor.integer_range.len(), usize::from(integer));
        }
        let [fragment_size] = &table.describe(&names(&["fragment_size_kib"]))[..] else {
            panic!("one");
        };
        let range = &fragment_size.integer_range[0];
        assert_eq!(
            (range.from_value, range.to_value, range.step),
            (64, 8192, 64)
        );
        assert_eq!(fragment_size.additional_constraints, "a power of two");
    }

    #[test]
    fn lists_are_those_of_rclcpp() {
        let mut table = table();
        for name in ["a.b", "a.b.c", "a.bc"] {
            table.values.insert(name.to_owned(), Parameter::empty());
        }
        let list = |prefixes: &[&str], depth| {
            let list = table.list(&names(prefixes), depth);
            (list.names.join(" "), list.prefixes.join(" "))
        };
        let owned = |names: &str, prefixes: &str| (names.to_owned(), prefixes.to_owned());
        assert_eq!(list(&["a"], 0), owned("a.b a.b.c a.bc", "a a.b"));
        assert_eq!(list(&["a"], 1), owned("a.b a.bc", "a"));
        assert_eq!(list(&["a.b"], 0), owned("a.b a.b.c", "a a.b"));
        assert_eq!(list(&["lease_ms"], 1), owned("lease_ms", ""));
        assert_eq!(list(&["leas"], 0), owned("", ""));
        assert_eq!(table.list(&[], 0).names.len(), 20);
        assert_eq!(table.list(&[], 1).names.len(), 17);
        assert_eq!(table.list(&[], u64::MAX).names.len(), 20);
    }

    #[test]
    fn what_is_given_at_start_is_judged_alike() {
        let refused = |name, value| given(&[(name, value)]).map(drop).unwrap_err();
        let number = ParameterValue::Integer(123);
        assert!(refused("revision", number).contains("quotes"));
        assert!(refused("revison", text("x")).contains("no parameter \"revison\""));
        let lease = ParameterValue::Integer(0);
        assert!(refused("lease_ms", lease).contains("200 to 5000"));
        let pinned = given(&[("revision", text("00"))]).unwrap();
        assert_eq!(
            pinned.params().revision,
            "00",
            "read-only ones are given at start"
        );
        let tolerated = given(&[("qos_overrides./fragments.publisher.depth", text("5"))]);
        assert_eq!(tolerated.unwrap().names().len(), 17);
    }
}
