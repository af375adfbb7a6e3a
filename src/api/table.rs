//! The table of routes: each is added together with its description, for the server or for the OpenAPI document.

use actix_web::dev::Handler;
use actix_web::{FromRequest, Resource, Responder, Scope, guard, web};

use super::openapi::Operation;

/// Takes routes one by one, in the order in which they are tried.
pub(super) trait Table {
    /// Adds a route that answers GET and HEAD, and 405 to every other method.
    fn read<F, Args>(&mut self, path: &str, operation: &'static Operation, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static;
}

/// Routes of a server.
pub(super) struct Serving(pub(super) Scope);

impl Table for Serving {
    fn read<F, Args>(&mut self, path: &str, _: &'static Operation, handler: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let scope = std::mem::replace(&mut self.0, web::scope(""));
        self.0 = scope.service(resource(path, handler));
    }
}

/// A route and its description.
pub(super) struct Described {
    pub(super) path: String,
    pub(super) operation: &'static Operation,
}

/// Routes of the document.
pub(super) struct Describing<'a> {
    pub(super) base: &'static str,
    pub(super) into: &'a mut Vec<Described>,
}

impl Table for Describing<'_> {
    fn read<F, Args>(&mut self, path: &str, operation: &'static Operation, _: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        // The router's own words for a path of several segments.
        let path = path.replace(":.*}", "}");
        self.into.push(Described { path: format!("{}{path}", self.base), operation });
    }
}

/// Returns a resource that answers GET and HEAD, and 405 to every other method.
pub(super) fn resource<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler))
        .default_service(web::to(super::unknown_path))
}
