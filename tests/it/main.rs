//! The integration tests: one binary, the real edges, real files, the fake GitLab at the other end of a socket.

mod fake;
mod rig;
mod smoke;
mod store;
mod view;
