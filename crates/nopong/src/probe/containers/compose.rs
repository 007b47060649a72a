//! A compose file of the working directory that has a service of the target's name.

use crate::evidence::CaseFile;
use crate::evidence::containers::Composed;
use crate::probe::Request;

/// Looks, where a name did not resolve and the client stands here.
pub(super) fn service(request: &Request, file: &CaseFile) -> Option<Composed> {
    let name = file.client.name.get().filter(|n| n.error.is_some())?;
    if request.home.is_some() || name.asked.contains('.') {
        return None;
    }
    crate::target::service_named(&name.asked)
}
