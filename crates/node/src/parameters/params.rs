//! The parameters: names, types, defaults, descriptions, and what each may be set to.

use r2r::ParameterValue;
use r2r::RosParams;
use r2r::rcl_interfaces::msg::IntegerRange;
use tensorgate_verify::{FragmentSize, LeaseSignal};

/// The parameters as ROS knows them. Relative paths are those of the directory that the node was
/// started in.
#[derive(Clone, Debug, RosParams)]
pub(crate) struct Params {
    /// Policy to publish: OWNER/NAME@COMMIT or a manifest's SHA-256, both from the store, or a directory that holds policy.dsse.json; empty where `channel` is given = what the channel names
    pub(crate) policy: String,
    /// Trust policy: path of trust.toml
    pub(crate) trust: String,
    /// Store directory, which may be read-only if `state` is not; empty = $TENSORGATE_STORE, else /var/lib/tensorgate (root) or the user's data directory
    pub(crate) store: String,
    /// Directory that remembers the newest release accepted, which must be writable; empty = the store's own
    pub(crate) state: String,
    /// Repository that the manifest must speak of; empty = any
    pub(crate) repo: String,
    /// Commit that the manifest must speak of (40 hex digits); empty = any
    pub(crate) revision: String,
    /// Where on a Hub policy.dsse.json and revocations.dsse.json are kept: OWNER/NAME@BRANCH; empty = no network is used
    pub(crate) channel: String,
    /// How often the channel is asked for a newer release (s); 0 = at load and reload alone
    pub(crate) update_interval_s: u32,
    /// Payload of one fragment (KiB)
    pub(crate) fragment_size_kib: u32,
    /// Weights up to this size (MiB) are latched on ~/fragments, which costs as much memory again; larger ones are pulled through ~/get_fragments
    pub(crate) latch_limit_mib: u32,
    /// How long controllers may rely on one status (ms); one is sent each 100 ms
    pub(crate) lease_ms: u32,
    /// How weights are held: guarded = as pages of their file, under a lease, moved into memory when somebody writes to it; sealed = always as a copy in memory
    pub(crate) hold: String,
    /// Real-time signal by which the kernel tells one thread that somebody wants to write to a guarded file; nothing else in the process may use it
    pub(crate) hold_signal: u32,
    /// Unix socket through which controllers on this machine get the policy's pages instead of copies: a path, in a directory that nobody else may write to, or auto = the well-known place; empty = none
    pub(crate) handoff: String,
    /// Users who get it there: numbers separated by commas; empty = the node's own user and root
    pub(crate) handoff_uids: String,
    /// Whether the node configures and activates itself at start
    pub(crate) autostart: bool,
    /// Whether ROS time comes from /clock; leases run on the steady clock either way
    pub(crate) use_sim_time: bool,
}

/// When a new value takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// Never: whoever is on the graph must not loosen a pin, nor move what is being read.
    AtStart,
    OnReload,
    AtOnce,
}

/// What a parameter may be set to, beside its type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) effect: Effect,
    /// First, last, step; of integers.
    pub(crate) range: Option<(u32, u32, u32)>,
    /// For people, as `additional_constraints`.
    pub(crate) constraints: &'static str,
}

/// The longest text that a parameter takes: a path of Linux (PATH_MAX).
pub(crate) const LONGEST: usize = 4096;

impl Default for Params {
    fn default() -> Self {
        let empty = String::new;
        Self {
            policy: empty(),
            trust: empty(),
            store: empty(),
            state: empty(),
            repo: empty(),
            revision: empty(),
            channel: empty(),
            update_interval_s: 0,
            fragment_size_kib: FragmentSize::DEFAULT.bytes() >> 10,
            latch_limit_mib: 512,
            lease_ms: 500,
            hold: "guarded".to_owned(),
            hold_signal: LeaseSignal::default().number().cast_unsigned(),
            handoff: empty(),
            handoff_uids: empty(),
            autostart: true,
            use_sim_time: false,
        }
    }
}

impl Rule {
    pub(crate) fn of(name: &str) -> Self {
        use Effect::{AtOnce, AtStart, OnReload};
        let rule = |effect, range, constraints| Self {
            effect,
            range,
            constraints,
        };
        match name {
            "policy" => rule(OnReload, None, "a path begins with / or ."),
            "update_interval_s" => rule(AtOnce, Some((0, 86_400, 1)), "0, or at least 5"),
            "fragment_size_kib" => rule(OnReload, Some((64, 8192, 64)), "a power of two"),
            "latch_limit_mib" => rule(OnReload, Some((0, 65_536, 1)), ""),
            "lease_ms" => rule(AtOnce, Some((200, 5000, 1)), ""),
            "hold" => rule(AtStart, None, "guarded or sealed"),
            "hold_signal" => rule(AtStart, Some((1, 64, 1)), "a real-time signal"),
            "use_sim_time" => rule(AtOnce, None, ""),
            _ => rule(AtStart, None, ""),
        }
    }

    pub(crate) fn integer_range(&self) -> Vec<IntegerRange> {
        let range = self.range.map(|(first, last, step)| IntegerRange {
            from_value: first.into(),
            to_value: last.into(),
            step: step.into(),
        });
        range.into_iter().collect()
    }

    /// As `integer_range` of rcl_interfaces/ParameterDescriptor has it.
    pub(crate) fn admits(&self, value: &ParameterValue) -> Result<(), String> {
        match (value, self.range) {
            (ParameterValue::String(text), _) if text.len() > LONGEST => Err(format!(
                "has {} bytes of text; hint: at most {LONGEST}",
                text.len()
            )),
            (ParameterValue::Integer(number), Some((first, last, step))) => {
                let (from, to) = (i64::from(first), i64::from(last));
                if (from..=to).contains(number) && (number - from) % i64::from(step) == 0 {
                    return Ok(());
                }
                let steps = match step {
                    1 => String::new(),
                    step => format!(" in steps of {step}"),
                };
                Err(format!("is {number}; hint: {first} to {last}{steps}"))
            }
            _ => Ok(()),
        }
    }
}

/// `PARAMETER_*` of rcl_interfaces/msg/ParameterType.
pub(super) mod kind {
    use r2r::rcl_interfaces::msg::ParameterType as Type;

    pub(in crate::parameters) const NOT_SET: u8 = Type::PARAMETER_NOT_SET as u8;
    pub(in crate::parameters) const BOOL: u8 = Type::PARAMETER_BOOL as u8;
    pub(in crate::parameters) const INTEGER: u8 = Type::PARAMETER_INTEGER as u8;
    pub(in crate::parameters) const DOUBLE: u8 = Type::PARAMETER_DOUBLE as u8;
    pub(in crate::parameters) const STRING: u8 = Type::PARAMETER_STRING as u8;
    pub(in crate::parameters) const BYTES: u8 = Type::PARAMETER_BYTE_ARRAY as u8;
    pub(in crate::parameters) const BOOLS: u8 = Type::PARAMETER_BOOL_ARRAY as u8;
    pub(in crate::parameters) const INTEGERS: u8 = Type::PARAMETER_INTEGER_ARRAY as u8;
    pub(in crate::parameters) const DOUBLES: u8 = Type::PARAMETER_DOUBLE_ARRAY as u8;
    pub(in crate::parameters) const STRINGS: u8 = Type::PARAMETER_STRING_ARRAY as u8;
}

pub(super) const fn kind(value: &ParameterValue) -> u8 {
    match value {
        ParameterValue::NotSet => kind::NOT_SET,
        ParameterValue::Bool(_) => kind::BOOL,
        ParameterValue::Integer(_) => kind::INTEGER,
        ParameterValue::Double(_) => kind::DOUBLE,
        ParameterValue::String(_) => kind::STRING,
        ParameterValue::ByteArray(_) => kind::BYTES,
        ParameterValue::BoolArray(_) => kind::BOOLS,
        ParameterValue::IntegerArray(_) => kind::INTEGERS,
        ParameterValue::DoubleArray(_) => kind::DOUBLES,
        ParameterValue::StringArray(_) => kind::STRINGS,
    }
}
