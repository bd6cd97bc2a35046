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
mod tests;
