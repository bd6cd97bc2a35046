//! The six services of a node that has parameters.

use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
    SetParametersAtomically,
};
use r2r::{Node, QosProfile};

use super::table::Table;
use crate::rosout::Logger;
use crate::served::Served;

pub(super) struct Services {
    get: Served<GetParameters::Service>,
    types: Served<GetParameterTypes::Service>,
    describe: Served<DescribeParameters::Service>,
    list: Served<ListParameters::Service>,
    set: Served<SetParameters::Service>,
    set_atomically: Served<SetParametersAtomically::Service>,
    /// Which is looked at next: none of them may starve the others.
    turn: usize,
}

const COUNT: usize = 6;

impl Services {
    pub(super) fn new(node: &mut Node) -> r2r::Result<Self> {
        let qos = QosProfile::services_default;
        Ok(Self {
            get: Served::new(node, "~/get_parameters", qos())?,
            types: Served::new(node, "~/get_parameter_types", qos())?,
            describe: Served::new(node, "~/describe_parameters", qos())?,
            list: Served::new(node, "~/list_parameters", qos())?,
            set: Served::new(node, "~/set_parameters", qos())?,
            set_atomically: Served::new(node, "~/set_parameters_atomically", qos())?,
            turn: 0,
        })
    }

    /// Answers one request, where there is one; the names of what that changed.
    pub(super) fn answer(&mut self, table: &mut Table, logger: &Logger) -> Option<Vec<String>> {
        (0..COUNT).find_map(|_| {
            self.turn = (self.turn + 1) % COUNT;
            self.answer_in_turn(table, logger)
        })
    }

    fn answer_in_turn(&mut self, table: &mut Table, logger: &Logger) -> Option<Vec<String>> {
        let mut changed = Vec::new();
        let answered = match self.turn {
            0 => self.get.answer(logger, |asked| {
                let values = table.get(&asked.names);
                GetParameters::Response { values }
            }),
            1 => self.types.answer(logger, |asked| {
                let types = table.types(&asked.names);
                GetParameterTypes::Response { types }
            }),
            2 => self.describe.answer(logger, |asked| {
                let descriptors = table.describe(&asked.names);
                DescribeParameters::Response { descriptors }
            }),
            3 => self.list.answer(logger, |asked| {
                let result = table.list(&asked.prefixes, asked.depth);
                ListParameters::Response { result }
            }),
            4 => self.set.answer(logger, |asked| {
                let results;
                (results, changed) = table.set(&asked.parameters);
                SetParameters::Response { results }
            }),
            _ => self.set_atomically.answer(logger, |asked| {
                let result;
                (result, changed) = table.set_atomically(&asked.parameters);
                SetParametersAtomically::Response { result }
            }),
        };
        answered.then_some(changed)
    }
}
