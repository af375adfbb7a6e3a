//! What operators see: alert rules and dashboard are about metrics that the program really has, and one delivery is one trace
//! and one thread of log lines.

mod canary;
mod expressions;
mod trace;
