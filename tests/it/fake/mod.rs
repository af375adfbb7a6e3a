//! The fake GitLab against GitLab's recorded shapes: what other tests rely on must itself be right.

mod behaviour;
mod edge;
mod shapes;
