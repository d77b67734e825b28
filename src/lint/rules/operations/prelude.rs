//! What nearly every rule about all operations uses.

pub(super) use crate::ids::Risk;
pub(super) use crate::lint::operations::Look;
pub(super) use crate::lint::rules::operation::{Check, Example, OperationRule, Told};
pub(super) use crate::lint::table::{Applies, RuleInfo};
pub(super) use crate::lint::{Category, Severity};
pub(super) use crate::migration::Migration;
pub(super) use crate::migration::operations::Located;
